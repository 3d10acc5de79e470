"""PyMC distributions whose log-densities are JAX kernels."""

from pymc_jaxdist.distributions.hidden_markov import MarginalHMM
from pymc_jaxdist.distributions.hmm_logp import hmm_logp
from pymc_jaxdist.distributions.jax_dist import JaxDist

__all__ = ["JaxDist", "MarginalHMM", "hmm_logp"]
