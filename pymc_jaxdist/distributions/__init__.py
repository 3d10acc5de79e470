"""PyMC distributions whose log-densities are JAX kernels."""

from pymc_jaxdist.distributions.hidden_markov import MarginalHMM
from pymc_jaxdist.distributions.hmm_logp import hmm_logp
from pymc_jaxdist.distributions.ode import ODEObserved, ode_solution

__all__ = ["MarginalHMM", "ODEObserved", "hmm_logp", "ode_solution"]
