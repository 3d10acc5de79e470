"""The log-likelihood of observed sequences under a hidden semi-Markov model."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import HiddenMarkovLogLikelihood
from pymc_jaxdist.kernels.probabilities import is_stochastic
from pymc_jaxdist.kernels.semi_markov import semi_markov_log_likelihood

__all__ = ["HiddenSemiMarkovLogLikelihood"]

#: Durations beyond the longest stay there can be, summed one by one for the probability of a stay
#: that is cut off: one minus the sum of the others would lose all digits.
TAIL = 256


@dataclass(frozen=True)
class HiddenSemiMarkovLogLikelihood:
    r"""Log-likelihood of sequences with states and their durations summed out.

    Parameters
    ----------
    markov : HiddenMarkovLogLikelihood
        Emissions, and what else an ordinary hidden Markov model has.
    duration : Emission
        Distribution of durations, as that of a discrete observation.
    shortest : int
        Value of that distribution that means a duration of one time: 0 or 1.
    max_duration : int or None
        Longest possible duration, by truncation; None for no limit.
    """

    markov: HiddenMarkovLogLikelihood
    duration: Emission
    shortest: int
    max_duration: int | None

    def __call__(self, value: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Evaluate the log-likelihood of each sequence.

        Parameters
        ----------
        value : (..., T) or (..., T, D) array
            Observations.
        *arguments : array
            Those of the hidden Markov model, then the parameters of the durations.

        Returns
        -------
        (...) array
            Log-likelihoods; ``-inf`` where probabilities are not a distribution.
        """
        terms = self.terms(value, *arguments)
        proper = is_stochastic(terms[1]) & jnp.all(terms[2] >= 0, axis=(-3, -2, -1))
        return jnp.where(proper, semi_markov_log_likelihood(*terms), -jnp.inf)

    def terms(self, value: jax.Array, *arguments: jax.Array) -> tuple[Any, ...]:
        """Return the arguments of `semi_markov_log_likelihood`.

        Parameters
        ----------
        value, *arguments : array
            As when called.
        """
        n_own = len(arguments) - self.duration.n_parameters
        own = self.markov.terms(value, *arguments[:n_own])
        log_likelihoods, initial_probs, transition_matrix, lengths = own
        durations, survival = self.log_durations(log_likelihoods.shape[-2], arguments[n_own:])
        matrix = without_diagonal(transition_matrix)
        return log_likelihoods, initial_probs, matrix, durations, survival, lengths

    def log_durations(
        self, steps: int, parameters: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, jax.Array]:
        """Return log-probabilities ``(..., K, D)`` of durations, exactly and at least d.

        Parameters
        ----------
        steps : int
            T, the longest stay that can be seen.
        parameters : tuple of array
            Parameters of the durations, broadcasting against ``(..., 1, K)``.
        """
        limit = self.max_duration
        n_terms = steps + TAIL if limit is None else limit
        values = jnp.arange(self.shortest, self.shortest + n_terms)
        log_probs = self.duration.log_likelihoods(values, parameters, may_be_missing=False)
        log_probs = jnp.swapaxes(log_probs, -1, -2)
        at_least = _cumulated_from_the_end(log_probs)
        if limit is None:
            rest = 1 - jnp.exp(at_least[..., :1])
            # Less than this is rounding, and without any probability parameters are invalid.
            rest = jnp.where((rest > 1e-12) & (at_least[..., :1] > -jnp.inf), rest, 0.0)
            at_least = jnp.where(rest > 0, jnp.logaddexp(at_least, _safe_log(rest)), at_least)
        else:
            log_probs = log_probs - at_least[..., :1]
            at_least = at_least - at_least[..., :1]
        kept = min(n_terms, steps)
        return log_probs[..., :kept], at_least[..., :kept]

    def __str__(self) -> str:
        return "hidden semi-Markov log-likelihood"


def without_diagonal(matrix: jax.Array) -> jax.Array:
    """Return transition probabilities given that the state is left.

    Parameters
    ----------
    matrix : (..., K, K) array
        Transition probabilities; the diagonal is not read.

    Returns
    -------
    (..., K, K) array
        Rows sum to one, the diagonal is zero; a row without another state stays zero. Negative
        entries stay negative.
    """
    n_states = matrix.shape[-1]
    others = jnp.where(jnp.eye(n_states, dtype=bool), 0.0, matrix)
    total = jnp.sum(others, axis=-1, keepdims=True)
    return others / jnp.where(total > 0, total, 1.0)


def _cumulated_from_the_end(log_probs: jax.Array) -> jax.Array:
    """Return the logarithms of sums over the last axis from each entry to the end."""

    def add(later: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
        total = jnp.logaddexp(later, own)
        return total, total

    nothing = jnp.full(log_probs.shape[:-1], -jnp.inf, dtype=log_probs.dtype)
    sums = lax.scan(add, nothing, jnp.moveaxis(log_probs, -1, 0), reverse=True)[1]
    return jnp.moveaxis(sums, 0, -1)


def _safe_log(x: jax.Array) -> jax.Array:
    return jnp.log(jnp.where(x > 0, x, 1.0))
