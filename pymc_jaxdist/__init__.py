"""PyMC distributions that run on JAX: exact marginal likelihoods with exact gradients."""

from pymc_jaxdist.distributions import MarginalHMM, ODEObserved, hmm_logp, ode_solution
from pymc_jaxdist.ops import impossible_evaluations
from pymc_jaxdist.posterior import decode_states

__all__ = [
    "MarginalHMM",
    "ODEObserved",
    "decode_states",
    "hmm_logp",
    "impossible_evaluations",
    "ode_solution",
]
__version__ = "0.1.0"
