"""PyMC distributions that run on JAX: exact marginal likelihoods with exact gradients."""

from pymc_jaxdist.distributions import (
    FanIn,
    Frozen,
    JaxDist,
    MarginalHMM,
    NeuralNetObserved,
    describe,
    hmm_logp,
    nn_priors,
)
from pymc_jaxdist.ops import impossible_evaluations, jax_function
from pymc_jaxdist.posterior import decode_states, posterior_pytree, predict

__all__ = [
    "FanIn",
    "Frozen",
    "JaxDist",
    "MarginalHMM",
    "NeuralNetObserved",
    "decode_states",
    "describe",
    "hmm_logp",
    "impossible_evaluations",
    "jax_function",
    "nn_priors",
    "posterior_pytree",
    "predict",
]
__version__ = "0.1.0"
