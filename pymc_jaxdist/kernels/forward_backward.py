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
)
from pymc_jaxdist.kernels.lazy import run_if_any
from pymc_jaxdist.kernels.native.hidden_markov_posterior import (
    native_factors,
    native_posterior,
    serves,
)
from pymc_jaxdist.kernels.posterior import (
    Posterior,
    first_weight,
    impossible,
    scaled_posterior,
    settle,
    weighted_counts,
)
from pymc_jaxdist.kernels.scaled import scaled_log_likelihood
from pymc_jaxdist.kernels.underflow import may_have_lost_mass

__all__ = ["expected_counts", "forward_rule", "marginal_log_likelihood"]


class Residuals(NamedTuple):
    """What the backward rule needs from the forward rule.

    Attributes
    ----------
    chain : Chain
    posterior : Posterior
    extended : Array of bool, shape (N,), or None
        Possible sequences whose posterior needs the extended kernel. None if it has been used
        where that was necessary, as `native_posterior` does if the transition matrix is constant
        in time.
    """

    chain: Chain
    posterior: Posterior
    extended: jax.Array | None


_Cotangents: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, None]


def _log_likelihood(
    log_likelihoods: jax.Array,
    initial_probs: jax.Array,
    transition_matrix: jax.Array,
    active: jax.Array | None,
) -> jax.Array:
    """Give the value alone: no backward recursion."""
    chain = Chain(log_likelihoods, initial_probs, transition_matrix, active)
    failed = impossible(chain)
    flagged = may_have_lost_mass(chain) & ~failed
    return settle(chain, scaled_log_likelihood(chain), failed, flagged)


def forward_rule(
    log_likelihoods: jax.Array,
    initial_probs: jax.Array,
    transition_matrix: jax.Array,
    active: jax.Array | None,
) -> tuple[jax.Array, Residuals]:
    """Give the value and the posterior.

    The backward recursion runs here and not in the backward rule, because only with it is
    known whether the value is exact.
    """
    chain = Chain(log_likelihoods, initial_probs, transition_matrix, active)
    native = serves(chain)
    posterior = native_posterior(chain) if native else scaled_posterior(chain)
    if native and chain.static:
        return posterior.log_likelihood, Residuals(chain, posterior, None)
    flagged = ~posterior.exact & ~posterior.impossible
    log_lik = settle(chain, posterior.log_likelihood, posterior.impossible, flagged)
    return log_lik, Residuals(chain, posterior, flagged & (log_lik > -jnp.inf))


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
    chain, posterior, extended = residuals
    counts = weighted_counts(chain, posterior, weights)
    if posterior.total is not None:

        def one_by_one(_: jax.Array) -> jax.Array:
            before, evidence = native_factors(chain)
            factors = posterior._replace(before=before, evidence=evidence, total=None)
            return weighted_counts(chain, factors, weights).transition_matrix

        differ = jnp.any(weights != first_weight(weights)) | ~jnp.all(posterior.exact)
        transitions = run_if_any(differ, one_by_one, counts.transition_matrix)
        counts = counts._replace(transition_matrix=transitions)
    if extended is None:
        return counts

    def add(scaled: ExpectedCounts) -> ExpectedCounts:
        return jax.tree.map(jnp.add, scaled, extended_counts(chain, extended, weights))

    return run_if_any(extended, add, counts)


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
