"""Pure JAX kernels: arrays in, arrays out; nothing here knows PyTensor or PyMC.

Differentiable, batched over any leading dimensions, and usable under ``jax.jit``,
``jax.vmap`` and ``jax.grad`` like any other JAX function. The floating point type is that
of the arguments.

Examples
--------
>>> import jax
>>> import jax.numpy as jnp
>>> from pymc_jaxdist.kernels import marginal_log_likelihood, stationary_distribution
>>> transition_matrix = jnp.array([[0.9, 0.1], [0.3, 0.7]])
>>> def log_likelihood(matrix):
...     return marginal_log_likelihood(jnp.ones((4, 2)), stationary_distribution(matrix), matrix)
>>> value, gradient = jax.value_and_grad(log_likelihood)(transition_matrix)
>>> gradient.shape
(2, 2)
"""

from pymc_jaxdist.kernels.forward_backward import (
    marginal_log_likelihood as marginal_log_likelihood,
)
from pymc_jaxdist.kernels.prediction import (
    log_predictive_densities as log_predictive_densities,
)
from pymc_jaxdist.kernels.prediction import predicted_probs as predicted_probs
from pymc_jaxdist.kernels.smoothing import filtered_probs as filtered_probs
from pymc_jaxdist.kernels.smoothing import smoothed_probs as smoothed_probs
from pymc_jaxdist.kernels.state_sampling import sample_paths as sample_paths
from pymc_jaxdist.kernels.stationary import stationary_distribution as stationary_distribution
from pymc_jaxdist.kernels.transition_counts import pair_probs as pair_probs
from pymc_jaxdist.kernels.viterbi import viterbi as viterbi

__all__ = [
    "filtered_probs",
    "log_predictive_densities",
    "marginal_log_likelihood",
    "pair_probs",
    "predicted_probs",
    "sample_paths",
    "smoothed_probs",
    "stationary_distribution",
    "viterbi",
]
