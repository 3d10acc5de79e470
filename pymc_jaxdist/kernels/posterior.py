"""The posterior of hidden Markov chains, from which value and gradient follow."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.chain import Chain
from pymc_jaxdist.kernels.extended import (
    ExpectedCounts,
    extended_counts,
    extended_log_likelihood,
)
from pymc_jaxdist.kernels.lazy import run_if_any
from pymc_jaxdist.kernels.orientation import orientation
from pymc_jaxdist.kernels.scaled import scaled_backward, scaled_forward
from pymc_jaxdist.kernels.underflow import posterior_may_have_lost_mass

__all__ = [
    "Posterior",
    "first_weight",
    "impossible",
    "invalid",
    "scaled_posterior",
    "settle",
    "settled_posterior",
    "weighted_counts",
    "with_transitions",
]


class Posterior(NamedTuple):
    """What both recursions tell of N chains; 0 for sequences of which it is not exact.

    Attributes
    ----------
    log_likelihood : Array, shape (N,)
    exact : Array of bool, shape (N,)
        Whether the scaled recursions lost nothing. No sequence is both exact and impossible.
    impossible : Array of bool, shape (N,)
        Whether the log-likelihood is -inf beyond doubt.
    states : Array, shape (N, T, K)
        ``p(z_t | y)``; 0 on padding.
    first : Array, shape (N, K)
        Expected first states divided by their probability.
    pairs : Array, shape (N, S, K, K), or None
        Expected transitions divided by their probability, summed over time if one transition
        matrix serves all times.
    before, evidence : Array, shape (N, T, K), or None
        Or two factors: the expected transitions from i at time t - 1 to j at time t, divided by
        their probability, are ``before[t - 1, i] * evidence[t, j]``.
    total : Array, shape (1, S, K, K), or None
        Or their sum over all sequences, anything unless all of them are exact.
    """

    log_likelihood: jax.Array
    exact: jax.Array
    impossible: jax.Array
    states: jax.Array
    first: jax.Array
    pairs: jax.Array | None = None
    before: jax.Array | None = None
    evidence: jax.Array | None = None
    total: jax.Array | None = None


def invalid(chain: Chain) -> jax.Array:
    """Tell which sequences have invalid arguments.

    That is NaN or +inf evidence, or a NaN, infinite or negative probability. Padding never
    matters, nor does a time-varying transition into it.

    Returns
    -------
    Array of bool, shape (N,)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> chain, _ = flatten_batch(jnp.full((3, 2), jnp.nan), jnp.ones(2) / 2, jnp.eye(2), None)
    >>> invalid(chain)
    Array([ True], dtype=bool)
    """
    ll, start, matrix, active = chain
    # One maximum decides, since NaN propagates through it; not (x < inf) is true for NaN.
    bad_evidence = ~(jnp.max(ll, axis=-1) < jnp.inf)
    bad_start = jnp.any(~((start >= 0) & (start < jnp.inf)), axis=1)
    bad_matrix = jnp.any(~((matrix >= 0) & (matrix < jnp.inf)), axis=(2, 3))
    if active is not None:
        bad_evidence &= active
        if not chain.static:
            bad_matrix = bad_matrix & active[:, 1:]
    return jnp.any(bad_evidence, axis=1) | bad_start | jnp.any(bad_matrix, axis=1)


def impossible(chain: Chain) -> jax.Array:
    """Tell which sequences are -inf beyond doubt, so that they need no second kernel."""
    no_state = jnp.max(chain.log_likelihoods, axis=-1) == -jnp.inf
    if chain.active is not None:
        no_state &= chain.active
    return invalid(chain) | jnp.any(no_state, axis=1)


def scaled_posterior(chain: Chain) -> Posterior:
    """Compute the posterior by scans that XLA compiles, on any device and in any precision.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> ll = jnp.array([[0.0, -1.0], [-2.0, 0.0]])
    >>> chain, _ = flatten_batch(ll, jnp.ones(2) / 2, jnp.eye(2), None)
    >>> print(scaled_posterior(chain).states[0].round(3))
    [[0.269 0.731]
     [0.269 0.731]]
    """
    forward = scaled_forward(chain)
    beta = scaled_backward(chain, forward)
    failed = impossible(chain)
    exact = ~posterior_may_have_lost_mass(chain, forward, beta) & ~failed
    layout = orientation(chain)
    axis = 1 + layout.state_axis

    def spread(x: jax.Array) -> jax.Array:
        return jnp.expand_dims(x, axis)

    keep = spread(exact[None] if chain.active is None else exact[None] & chain.active.T)
    posterior = forward.filtered * beta
    # The sum is 1 but for rounding, which would otherwise accumulate along the recursion.
    weight = spread(1 / jnp.sum(posterior, axis=axis))
    states = jnp.where(keep, posterior * weight, 0)
    ratio = beta * weight / spread(forward.normaliser)
    evidence = layout.user(jnp.where(keep, forward.emission * ratio, 0))
    before = layout.user(jnp.where(keep, forward.filtered, 0))
    return Posterior(
        forward.log_likelihood,
        exact,
        failed,
        layout.user(states),
        evidence[:, 0],
        before=before,
        evidence=evidence,
    )


def _factors_of_pairs(posterior: Posterior) -> tuple[jax.Array, jax.Array]:
    """Give ``before`` and ``evidence`` of successive times, (N, T - 1, K) each."""
    assert posterior.before is not None
    assert posterior.evidence is not None
    return posterior.before[:, :-1], posterior.evidence[:, 1:]


def _contract(subscripts: str, x: jax.Array, y: jax.Array) -> jax.Array:
    # Accelerators round the factors of a product to a few digits unless told not to.
    product: jax.Array = jnp.einsum(subscripts, x, y, precision=lax.Precision.HIGHEST)
    return product


def settle(chain: Chain, log_lik: jax.Array, failed: jax.Array, flagged: jax.Array) -> jax.Array:
    """Replace what scaling could not decide."""

    def recompute(scaled: jax.Array) -> jax.Array:
        return jnp.where(flagged, extended_log_likelihood(chain), scaled)

    return run_if_any(flagged, recompute, jnp.where(failed, -jnp.inf, log_lik))


def settled_posterior(chain: Chain) -> Posterior:
    """Compute the posterior of each sequence exactly, whatever scaling may have lost.

    Parameters
    ----------
    chain : Chain
        With a transition matrix that is constant in time.
    """
    scaled = scaled_posterior(chain)
    flagged = ~scaled.exact & ~scaled.impossible
    log_lik = settle(chain, scaled.log_likelihood, scaled.impossible, flagged)
    extended = flagged & (log_lik > -jnp.inf)
    sequences = len(chain.log_likelihoods)
    own = chain._replace(
        initial_probs=jnp.broadcast_to(
            chain.initial_probs, (sequences, *chain.initial_probs.shape[1:])
        ),
        transition_matrix=jnp.broadcast_to(
            chain.transition_matrix, (sequences, *chain.transition_matrix.shape[1:])
        ),
    )

    def add(
        results: tuple[jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        counts = extended_counts(own, extended, jnp.ones_like(log_lik))
        states, first, pairs = results
        return (
            states + counts.log_likelihoods,
            first + counts.initial_probs,
            pairs + counts.transition_matrix,
        )

    before, evidence = _factors_of_pairs(scaled)
    pairs = _contract("nti,ntj->nij", before, evidence)[:, None]
    states, first, pairs = run_if_any(extended, add, (scaled.states, scaled.first, pairs))
    return Posterior(log_lik, scaled.exact, scaled.impossible, states, first, pairs)


def with_transitions(chain: Chain, posterior: Posterior) -> Posterior:
    """Replace the factors of expected transitions at each time by their products.

    By those of each sequence, or their total if all share the transition matrices.
    """
    before, evidence = _factors_of_pairs(posterior)
    without = posterior._replace(before=None, evidence=None)
    if chain.shared:
        return without._replace(total=_contract("nti,ntj->tij", before, evidence)[None])
    return without._replace(pairs=_contract("nti,ntj->ntij", before, evidence))


def first_weight(weights: jax.Array) -> jax.Array:
    """Return the weight of the first sequence; 0 if there is none."""
    return jnp.sum(weights[:1])


def weighted_counts(chain: Chain, posterior: Posterior, weights: jax.Array) -> ExpectedCounts:
    """Weight the sequences, and sum over what they share.

    Parameters
    ----------
    chain : Chain
    posterior : Posterior
        If it has a total of expected transitions, that is weighted like the first sequence.
    weights : Array, shape (N,)
        The cotangent of the log-likelihoods.

    Returns
    -------
    ExpectedCounts
    """
    own = "" if chain.shared else "n"
    if posterior.total is not None:
        pairs = first_weight(weights) * posterior.total
    elif posterior.pairs is not None:
        pairs = _contract(f"n,ntij->{own}tij", weights, posterior.pairs)
    else:
        before, evidence = _factors_of_pairs(posterior)
        kept = own if chain.static else f"{own}t"
        pairs = _contract(f"nti,ntj->{kept}ij", before * weights[:, None, None], evidence)
    kept = "" if len(chain.initial_probs) == 1 else "n"
    first = _contract(f"n,nk->{kept}k", weights, posterior.first)
    return ExpectedCounts(
        posterior.states * weights[:, None, None],
        first.reshape(chain.initial_probs.shape),
        pairs.reshape(chain.transition_matrix.shape),
    )
