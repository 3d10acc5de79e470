"""The log-likelihood of observed sequences under a hidden Markov model with any emission."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.autoregression import AutoRegressiveEmission
from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.kernels.forward_backward import marginal_log_likelihood
from pymc_jaxdist.kernels.probabilities import is_stochastic
from pymc_jaxdist.kernels.stationary import stationary_distribution

__all__ = ["HiddenMarkovLogLikelihood", "MarginalLogLikelihood"]


@dataclass(frozen=True)
class HiddenMarkovLogLikelihood:
    r"""Log-likelihood of sequences with hidden states summed out.

    .. math::

        \ell_n = \log \sum_{z_{1:T}} \delta_{z_1} f_{z_1}(y_1)
                 \prod_{t=2}^T \Gamma_{z_{t-1} z_t} f_{z_t}(y_t)

    Parameters
    ----------
    emissions : tuple of Emission
        One per channel. A single emission takes the observations as they are; several take one
        column each of observations ``(..., T, D)``.
    initial_probs_given : bool
        Whether the initial probabilities are an input; otherwise they are the stationary
        distribution of the transition matrix.
    lengths_given : bool
        Whether the lengths of the sequences are an input.
    allowed_states_given : bool
        Whether a mask of the states each observation may come from is an input.
    may_be_missing : bool
        Whether NaN in the observations means missing.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., eq. 2.13. CRC Press.
    """

    emissions: tuple[Emission | AutoRegressiveEmission, ...]
    initial_probs_given: bool
    lengths_given: bool
    allowed_states_given: bool
    may_be_missing: bool

    def __call__(self, value: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Evaluate the log-likelihood of each sequence.

        Parameters
        ----------
        value : (..., T) or (..., T, D) array
            Observations.
        *arguments : array
            ``transition_matrix``, then ``initial_probs``, ``lengths`` and ``allowed_states`` if
            given, then the emission parameters, channel by channel.

        Returns
        -------
        (...) array
            Log-likelihoods; ``-inf`` where probabilities are not a distribution.
        """
        terms = self.terms(value, *arguments)
        log_likelihood = marginal_log_likelihood(*terms)
        _, initial_probs, transition_matrix, _ = terms
        proper_rows = jnp.all(is_stochastic(transition_matrix), axis=(-2, -1))
        proper = is_stochastic(initial_probs) & proper_rows
        return jnp.where(proper, log_likelihood, -jnp.inf)

    def terms(
        self, value: jax.Array, *arguments: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
        """Return ``log_likelihoods``, ``initial_probs``, ``transition_matrix`` and ``lengths``.

        Shapes are ``(..., T, K)``, ``(..., K)``, ``(..., T-1 or 1, K, K)`` and ``(...)``.
        """
        remaining = list(arguments)
        transition_matrix = remaining.pop(0)
        initial_probs = remaining.pop(0) if self.initial_probs_given else None
        lengths = remaining.pop(0) if self.lengths_given else None
        allowed_states = remaining.pop(0) if self.allowed_states_given else None
        if transition_matrix.ndim == 2:
            transition_matrix = transition_matrix[None]
        if initial_probs is None:
            initial_probs = stationary_distribution(transition_matrix[..., 0, :, :])

        log_likelihoods: jax.Array | float = 0.0
        for channel, emission in enumerate(self.emissions):
            parameters = tuple(remaining[: emission.n_parameters])
            remaining = remaining[emission.n_parameters :]
            column = value if len(self.emissions) == 1 else value[..., channel]
            own = emission.log_likelihoods(column, parameters, self.may_be_missing)
            log_likelihoods = log_likelihoods + of_histories(own, transition_matrix.shape[-1])
        log_likelihoods = jnp.asarray(log_likelihoods)
        if allowed_states is not None:
            allowed_states = of_histories(allowed_states, transition_matrix.shape[-1])
            log_likelihoods = jnp.where(allowed_states, log_likelihoods, -jnp.inf)
        return log_likelihoods, initial_probs, transition_matrix, lengths

    def __str__(self) -> str:
        return "hidden Markov log-likelihood"


@dataclass(frozen=True)
class MarginalLogLikelihood:
    """`marginal_log_likelihood` as a hashable kernel, with or without lengths."""

    lengths_given: bool

    def __call__(
        self,
        log_likelihoods: jax.Array,
        initial_probs: jax.Array,
        transition_matrix: jax.Array,
        *lengths: jax.Array,
    ) -> jax.Array:
        """Evaluate the log-likelihood ``(...)`` from emission terms ``(..., T, K)``."""
        return marginal_log_likelihood(log_likelihoods, initial_probs, transition_matrix, *lengths)

    def __str__(self) -> str:
        return "marginal log-likelihood"


def of_histories(of_states: jax.Array, n_histories: int) -> jax.Array:
    """Repeat what depends on the last states for every history that ends in them.

    Parameters
    ----------
    of_states : (..., M) array
        One entry for each history of the last states (or one for all), the present state
        changing fastest.
    n_histories : int
        Number of longer histories, a multiple of M; in a chain without a memory M itself.

    Returns
    -------
    (..., n_histories) array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> of_histories(jnp.array([1, 2]), 4).tolist()
    [1, 2, 1, 2]
    """
    n_own = of_states.shape[-1]
    if n_own == n_histories:
        return of_states
    if n_histories % n_own:
        # Parameters that do not fit: let broadcasting say so.
        return jnp.broadcast_to(of_states, (*of_states.shape[:-1], n_histories))
    return jnp.tile(of_states, n_histories // n_own)
