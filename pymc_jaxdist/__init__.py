"""PyMC distributions that run on JAX: exact marginal likelihoods with exact gradients."""

from pymc_jaxdist.distributions import JaxDist, MarginalHMM, hmm_logp
from pymc_jaxdist.ops import impossible_evaluations, jax_function
from pymc_jaxdist.posterior import decode_states

__all__ = [
    "JaxDist",
    "MarginalHMM",
    "decode_states",
    "hmm_logp",
    "impossible_evaluations",
    "jax_function",
]
__version__ = "0.1.0"
