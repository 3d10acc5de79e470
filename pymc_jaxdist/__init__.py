"""PyMC distributions that run on JAX: exact marginal likelihoods with exact gradients."""

from pymc_jaxdist.distributions import (
    RK4,
    Doses,
    Jumps,
    LinearODE,
    MarginalHMM,
    ODEObserved,
    hmm_logp,
    interpolated,
    ode_solution,
    pad_observations,
)
from pymc_jaxdist.ops import impossible_evaluations
from pymc_jaxdist.posterior import check_ode, decode_states, predict

__all__ = [
    "RK4",
    "Doses",
    "Jumps",
    "LinearODE",
    "MarginalHMM",
    "ODEObserved",
    "check_ode",
    "decode_states",
    "hmm_logp",
    "impossible_evaluations",
    "interpolated",
    "ode_solution",
    "pad_observations",
    "predict",
]
__version__ = "0.1.0"
