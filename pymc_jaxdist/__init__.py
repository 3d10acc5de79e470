"""PyMC distributions that run on JAX: exact marginal likelihoods with exact gradients."""

from pymc_jaxdist.distributions import (
    FanIn,
    Frozen,
    JaxDist,
    MarginalHMM,
    NeuralNetObserved,
    ODEObserved,
    describe,
    hmm_logp,
    nn_priors,
    ode_solution,
    sticky_dirichlet,
    transition_from_logits,
    transition_from_rates,
)
from pymc_jaxdist.ops import (
    impossible_evaluations,
    jax_function,
)
from pymc_jaxdist.posterior import (
    decode_states,
    forecast,
    impute,
    one_step_log_predictive,
    pairwise_probs,
    posterior_pytree,
    predict,
    pseudo_residuals,
    relabel_states,
    state_occupancy,
    transition_counts,
)

__all__ = [
    "FanIn",
    "Frozen",
    "JaxDist",
    "MarginalHMM",
    "NeuralNetObserved",
    "ODEObserved",
    "decode_states",
    "describe",
    "forecast",
    "hmm_logp",
    "impossible_evaluations",
    "impute",
    "jax_function",
    "nn_priors",
    "ode_solution",
    "one_step_log_predictive",
    "pairwise_probs",
    "posterior_pytree",
    "predict",
    "pseudo_residuals",
    "relabel_states",
    "state_occupancy",
    "sticky_dirichlet",
    "transition_counts",
    "transition_from_logits",
    "transition_from_rates",
]
__version__ = "0.1.0"
