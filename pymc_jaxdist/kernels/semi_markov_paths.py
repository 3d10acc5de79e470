r"""Paths and one-step predictions of hidden semi-Markov models.

The weights are those of `semi_markov_log_likelihood`: :math:`\alpha_t(k, d)` of all paths that
have been in state k for d times. A stay in k that begins at t follows one in i that lasted d
times, with weight :math:`\alpha_{t-1}(i, d) \, p_i(d) \, P_{ik}`, whatever comes later. So the
best, or a random, predecessor of every stay is known on the way forward, and a path is read off
from its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.prediction import LogFilter
from pymc_jaxdist.kernels.semi_markov_chain import prepare_semi_markov
from pymc_jaxdist.kernels.viterbi import MostProbablePath

__all__ = [
    "semi_markov_filtered_probs",
    "semi_markov_log_filter",
    "semi_markov_log_predictive_densities",
    "semi_markov_predicted_probs",
    "semi_markov_sample_paths",
    "semi_markov_viterbi",
]


def semi_markov_viterbi(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    log_durations: ArrayLike,
    log_survival: ArrayLike,
    lengths: ArrayLike | None = None,
) -> MostProbablePath:
    r"""Find the most probable path of the states and the stays of a semi-Markov model.

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths
        As for `semi_markov_log_likelihood`.

    Returns
    -------
    MostProbablePath
        The path, and its log-probability jointly with the observations; the last stay counts
        with the probability that it lasts at least as long.

    References
    ----------
    Guédon, Y. (2003). Estimating hidden semi-Markov chains from discrete sequences. Journal of
    Computational and Graphical Statistics 12, 604-639.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    >>> durations, survival = jnp.log(jnp.array([0.1, 0.9])), jnp.log(jnp.array([1.0, 0.9]))
    >>> ll = jnp.log(jnp.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]]))
    >>> best = semi_markov_viterbi(ll, jnp.array([0.5, 0.5]), swap, durations, survival)
    >>> best.path.tolist()
    [0, 0, 1]
    """

    def choose(_: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.max(weights, axis=-1), jnp.argmax(weights, axis=-1)

    own = (log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths)
    return _path(jax.random.key(0), choose, own)


def semi_markov_sample_paths(
    key: jax.Array,
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    log_durations: ArrayLike,
    log_survival: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    """Draw a path of the states of a semi-Markov model given the whole sequence.

    Parameters
    ----------
    key : Array
        Random key of JAX.
    log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths
        As for `semi_markov_log_likelihood`.

    Returns
    -------
    Array of int, shape (..., T)
        One path per sequence; -1 on padding and everywhere in an impossible sequence.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    >>> durations, survival = jnp.log(jnp.array([0.0, 1.0])), jnp.log(jnp.array([1.0, 1.0]))
    >>> ll = jnp.log(jnp.array([[0.5, 0.0], [0.5, 0.5], [0.5, 0.5]]))
    >>> start = jnp.array([0.5, 0.5])
    >>> semi_markov_sample_paths(jax.random.key(1), ll, start, swap, durations, survival).tolist()
    [0, 0, 1]
    """

    def choose(key: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        return logsumexp(weights, axis=-1), jax.random.categorical(key, weights)

    own = (log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths)
    return _path(key, choose, own).path


def _path(
    key: jax.Array,
    choose: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]],
    arguments: tuple[Any, ...],
) -> MostProbablePath:
    """Go forward, choosing what each stay follows, and read a path off from its end.

    ``choose(key, weights)`` returns the weight of what it chose on the last axis, and its index.
    """
    chain, batch_shape = prepare_semi_markov(*arguments)
    sequences, steps, _ = chain.log_likelihoods.shape
    n_durations = chain.log_durations.shape[-1]
    keys = jax.random.split(key, steps)

    def forward(weights: jax.Array, at: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        emitted, on, key = at
        of_ages, of_states = jax.random.split(key)
        # How long a stay in each state had lasted, then which state was left: not a choice among
        # all pairs of both for every next state.
        leaving, age = choose(of_ages, weights + chain.log_durations)
        onward = leaving[:, None] + jnp.swapaxes(chain.log_matrix, 1, 2)
        entering, left = choose(of_states, onward)
        chosen = left * n_durations + jnp.take_along_axis(age, left, axis=1)
        older = jnp.concatenate([entering[..., None], weights[..., :-1]], axis=-1)
        return jnp.where(on[:, None, None], older + emitted[..., None], weights), chosen

    weights = chain.first_weights(chain.log_start + chain.log_likelihoods[:, 0])
    weights, chosen = lax.scan(forward, weights, (*chain.later_steps(), keys[1:]))
    total, end = choose(keys[0], (weights + chain.log_survival).reshape(sequences, -1))

    def backward(
        position: jax.Array, at: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        chosen, on = at
        state, age = position // n_durations, position % n_durations
        before = jnp.take_along_axis(chosen, state[:, None], axis=1)[:, 0]
        before = jnp.where(age > 0, position - 1, before)
        return jnp.where(on, before, position), state

    beginning, later = lax.scan(backward, end, (chosen, chain.active.T[1:]), reverse=True)
    path = jnp.concatenate([(beginning // n_durations)[None], later]).T
    log_prob = jnp.where(chain.invalid, -jnp.inf, jnp.where(chain.active[:, 0], total, 0.0))
    path = jnp.where(chain.active & (log_prob > -jnp.inf)[:, None], path, -1)
    return MostProbablePath(path.reshape(*batch_shape, steps), log_prob.reshape(batch_shape))


def semi_markov_log_filter(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    log_durations: ArrayLike,
    log_survival: ArrayLike,
    lengths: ArrayLike | None = None,
) -> LogFilter:
    """Filter the states of a semi-Markov model, however long their stays have been.

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths
        As for `semi_markov_log_likelihood`.

    Returns
    -------
    LogFilter

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    >>> durations, survival = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([1.0, 0.5]))
    >>> ll, start = jnp.zeros((3, 2)), jnp.array([1.0, 0.0])
    >>> steps = semi_markov_log_filter(ll, start, swap, durations, survival)
    >>> jnp.exp(steps.log_filtered).round(3).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]]
    """
    own = (log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths)
    chain, batch_shape = prepare_semi_markov(*own)

    def step(weights: jax.Array, emitted: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        # Weights before the observation, so far normalised that their total is one.
        log_predicted = logsumexp(weights + chain.log_survival, axis=-1)
        joint = log_predicted + emitted
        log_density = logsumexp(joint, axis=-1)
        weights = weights + (emitted - log_density[:, None])[..., None]
        leaving = logsumexp(weights + chain.log_durations, axis=-1)
        entering = logsumexp(leaving[:, :, None] + chain.log_matrix, axis=1)
        onward = jnp.concatenate([entering[..., None], weights[..., :-1]], axis=-1)
        return onward, (log_predicted, joint - log_density[:, None], log_density)

    evidence = jnp.swapaxes(chain.log_likelihoods, 0, 1)
    found = lax.scan(step, chain.first_weights(chain.log_start), evidence)[1]
    known = chain.active & ~chain.invalid[:, None]

    def user(series: jax.Array) -> jax.Array:
        own = jnp.swapaxes(series, 0, 1)
        on = known if own.ndim == 2 else known[..., None]
        return jnp.where(on, own, jnp.nan).reshape(*batch_shape, *own.shape[1:])

    return LogFilter(*map(user, found))


def semi_markov_filtered_probs(*arguments: ArrayLike) -> jax.Array:
    """Probabilities ``(..., T, K)`` of the states given past and present."""
    return jnp.exp(semi_markov_log_filter(*arguments).log_filtered)


def semi_markov_predicted_probs(*arguments: ArrayLike) -> jax.Array:
    """Probabilities ``(..., T, K)`` of the states given the past."""
    return jnp.exp(semi_markov_log_filter(*arguments).log_predicted)


def semi_markov_log_predictive_densities(*arguments: ArrayLike) -> jax.Array:
    """Log-density ``(..., T)`` of each observation given those before it."""
    return semi_markov_log_filter(*arguments).log_density
