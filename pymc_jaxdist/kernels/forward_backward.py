r"""The log-likelihood of a hidden Markov model, the states summed out.

The forward algorithm gives the value, the backward algorithm the gradient: posterior
state and transition counts, not a tape of the recursion. Both run on scaled
probabilities; a sequence for which scaling may have lost something is computed again on
numbers of extended range.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import Chain, flatten_batch
from pymc_jaxdist.kernels.extended import (
    ExpectedCounts,
    extended_counts,
    extended_log_likelihood,
)
from pymc_jaxdist.kernels.lazy import run_if_any
from pymc_jaxdist.kernels.orientation import orientation
from pymc_jaxdist.kernels.scaled import (
    ScaledForward,
    scaled_backward,
    scaled_forward,
    scaled_log_likelihood,
)
from pymc_jaxdist.kernels.underflow import may_have_lost_mass, posterior_may_have_lost_mass

__all__ = ["expected_counts", "forward_rule", "invalid", "marginal_log_likelihood"]


class Residuals(NamedTuple):
    """What the backward rule needs from the forward rule.

    Attributes
    ----------
    chain : Chain
    forward : ScaledForward
    beta : Array, a series
    scaled : Array of bool, shape (N,)
        Possible sequences whose scaled recursions are exact.
    extended : Array of bool, shape (N,)
        Possible sequences that need the extended kernel.
    """

    chain: Chain
    forward: ScaledForward
    beta: jax.Array
    scaled: jax.Array
    extended: jax.Array


_Cotangents: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, None]


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


def _failed(chain: Chain) -> jax.Array:
    """Tell which sequences are -inf beyond doubt, so that they need no second kernel."""
    no_state = jnp.max(chain.log_likelihoods, axis=-1) == -jnp.inf
    if chain.active is not None:
        no_state &= chain.active
    return invalid(chain) | jnp.any(no_state, axis=1)


def _settle(chain: Chain, log_lik: jax.Array, failed: jax.Array, flagged: jax.Array) -> jax.Array:
    """Replace what scaling could not decide."""

    def recompute(scaled: jax.Array) -> jax.Array:
        return jnp.where(flagged, extended_log_likelihood(chain), scaled)

    return run_if_any(flagged, recompute, jnp.where(failed, -jnp.inf, log_lik))


def _log_likelihood(
    log_likelihoods: jax.Array,
    initial_probs: jax.Array,
    transition_matrix: jax.Array,
    active: jax.Array | None,
) -> jax.Array:
    """Give the value alone: no backward recursion."""
    chain = Chain(log_likelihoods, initial_probs, transition_matrix, active)
    failed = _failed(chain)
    flagged = may_have_lost_mass(chain) & ~failed
    return _settle(chain, scaled_log_likelihood(chain), failed, flagged)


def forward_rule(
    log_likelihoods: jax.Array,
    initial_probs: jax.Array,
    transition_matrix: jax.Array,
    active: jax.Array | None,
) -> tuple[jax.Array, Residuals]:
    """Give the value and both recursions.

    The backward recursion runs here and not in the backward rule, because only with it is
    known whether the value is exact.
    """
    chain = Chain(log_likelihoods, initial_probs, transition_matrix, active)
    forward = scaled_forward(chain)
    beta = scaled_backward(chain, forward)
    failed = _failed(chain)
    flagged = posterior_may_have_lost_mass(chain, forward, beta) & ~failed
    log_lik = _settle(chain, forward.log_likelihood, failed, flagged)
    possible = log_lik > -jnp.inf
    return log_lik, Residuals(chain, forward, beta, possible & ~flagged, possible & flagged)


def _scaled_counts(residuals: Residuals, weights: jax.Array) -> ExpectedCounts:
    """Contract the two scaled recursions with the weights of the sequences."""
    chain, forward, beta, scaled, _ = residuals
    layout = orientation(chain)
    axis = 1 + layout.state_axis

    def spread(x: jax.Array) -> jax.Array:
        return jnp.expand_dims(x, axis)

    on = scaled[None] if chain.active is None else scaled[None] & chain.active.T
    posterior = forward.filtered * beta
    # The sum is 1 but for rounding, which would otherwise accumulate along the recursion.
    weight = jnp.where(on, weights[None] / jnp.sum(posterior, axis=axis), 0)
    keep = spread(on)
    states = jnp.where(keep, posterior * spread(weight), 0)
    evidence = jnp.where(keep, forward.emission * beta / spread(forward.normaliser), 0)
    before = jnp.where(keep, forward.filtered * spread(weight), 0)
    pairs = layout.pair_sums(before[:-1], evidence[1:], chain)
    first = evidence[0] * jnp.expand_dims(weight[0], layout.state_axis)
    if len(chain.initial_probs) == 1:
        first = jnp.sum(first, axis=1 - layout.state_axis, keepdims=True)
    return ExpectedCounts(
        layout.user(states),
        layout.column(first),
        pairs.reshape(chain.transition_matrix.shape),
    )


def expected_counts(residuals: Residuals, weights: jax.Array) -> ExpectedCounts:
    """Give the gradient of the weighted sum of log-likelihoods.

    Parameters
    ----------
    residuals : Residuals
    weights : Array, shape (N,)

    Returns
    -------
    ExpectedCounts
    """
    chain, extended = residuals.chain, residuals.extended

    def add(scaled: ExpectedCounts) -> ExpectedCounts:
        return jax.tree.map(jnp.add, scaled, extended_counts(chain, extended, weights))

    return run_if_any(extended, add, _scaled_counts(residuals, weights))


def _backward_rule(residuals: Residuals, weights: jax.Array) -> _Cotangents:
    return (*expected_counts(residuals, weights), None)


_differentiable = jax.custom_vjp(_log_likelihood)
_differentiable.defvjp(forward_rule, _backward_rule)


def marginal_log_likelihood(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Log-likelihood of hidden Markov sequences, the states summed out.

    .. math::

        \log L = \log \sum_{z_0 \ldots z_{T-1}} \delta_{z_0} e^{\ell_0(z_0)}
        \prod_{t=1}^{T-1} P_{z_{t-1} z_t} e^{\ell_t(z_t)}

    Parameters
    ----------
    log_likelihoods : array_like, shape (..., T, K)
        Log density of each observation under each state. ``-inf`` means impossible.
    initial_probs : array_like, broadcasts against (..., K)
        Distribution :math:`\delta` of the state that emits the first observation.
    transition_matrix : array_like, broadcasts against (..., T-1, K, K)
        ``transition_matrix[i, j]`` is ``p(z_t = j | z_{t-1} = i)``: ``(K, K)`` constant in
        time, ``(T-1, K, K)`` varying, ``(N, 1, K, K)`` one for each sequence.
    lengths : array_like of int, broadcasts against (...), optional
        Positions ``t >= lengths`` are padding, whatever they hold. Length 0 has
        log-likelihood 0.

    Returns
    -------
    Array, shape (...)
        In the floating point type of the arguments. Exactly ``-inf``, with a zero gradient,
        where no path is possible or where the arguments are invalid (NaN, ``+inf``, negative
        probabilities). That rows sum to one is not checked.

    Notes
    -----
    Differentiable in reverse mode (``jax.grad``), and in forward over reverse mode
    (``jax.hessian``). Exact also where probabilities underflow. The derivative with respect
    to a structural zero of the parameters is what would be gained by permitting that
    transition. It saturates at the square root of the largest float, and is a lower bound
    where paths that only it would open are improbable beyond the range of floats: no
    parametrisation that keeps the zero a zero sees it.

    References
    ----------
    Rabiner, L. R. (1989). A tutorial on hidden Markov models and selected applications in
    speech recognition. Proceedings of the IEEE 77, 257-286.

    Scott, S. L. (2002). Bayesian methods for hidden Markov models. Journal of the American
    Statistical Association 97, 337-351.

    Zucchini, W., MacDonald, I. L. and Langrock, R. (2016). Hidden Markov Models for Time
    Series: An Introduction Using R, 2nd edition. CRC Press.

    Examples
    --------
    Two sequences of three observations, two states:

    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> log_likelihoods = jnp.log(
    ...     jnp.array([[[0.5, 0.1], [0.2, 0.4], [0.3, 0.3]], [[0.1, 0.9], [0.1, 0.9], [0.5, 0.5]]])
    ... )
    >>> initial_probs = jnp.array([0.5, 0.5])
    >>> transition_matrix = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    >>> log_lik = marginal_log_likelihood(log_likelihoods, initial_probs, transition_matrix)
    >>> print(np.asarray(log_lik).round(4))
    [-3.8213 -1.7661]

    The second sequence ends after one observation:

    >>> lengths = jnp.array([3, 1])
    >>> log_lik = marginal_log_likelihood(
    ...     log_likelihoods, initial_probs, transition_matrix, lengths
    ... )
    >>> print(np.asarray(log_lik).round(4))
    [-3.8213 -0.6931]
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    return _differentiable(*chain).reshape(batch_shape)
