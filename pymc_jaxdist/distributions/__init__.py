"""PyMC distributions whose log-densities are JAX kernels."""

from pymc_jaxdist.distributions.hidden_markov import MarginalHMM
from pymc_jaxdist.distributions.hmm_logp import hmm_logp
from pymc_jaxdist.distributions.transition_matrices import (
    sticky_dirichlet,
    transition_from_logits,
    transition_from_rates,
)

__all__ = [
    "MarginalHMM",
    "hmm_logp",
    "sticky_dirichlet",
    "transition_from_logits",
    "transition_from_rates",
]
