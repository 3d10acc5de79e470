r"""Forward and backward recursions on scaled probabilities (Rabiner 1989, section V.A).

With :math:`b_t(j) = \exp(\ell_t(j) - m_t)` and :math:`m_t = \max_k \ell_t(k)`,

.. math::

    \alpha_t(j) = \frac{b_t(j)}{c_t} \sum_i \alpha_{t-1}(i) P_{ij}, \qquad
    \beta_{t-1}(i) = \sum_j P_{ij} \frac{b_t(j)}{c_t} \beta_t(j), \qquad
    \log L = \sum_t (\log c_t + m_t),

where :math:`c_t` makes :math:`\alpha_t` sum to one. No logarithm and no exponential is
taken inside the recursions, which is why they are fast. What they can lose is a
probability below the smallest floating point number: `pymc_jaxdist.kernels.underflow`
tells when, and `pymc_jaxdist.kernels.extended` is there for it.

References
----------
Rabiner, L. R. (1989). A tutorial on hidden Markov models and selected applications in
speech recognition. Proceedings of the IEEE 77, 257-286.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.accurate_sum import accurate_sum
from pymc_jaxdist.kernels.chain import Chain
from pymc_jaxdist.kernels.orientation import Orientation, orientation

__all__ = [
    "ScaledForward",
    "scaled_backward",
    "scaled_emissions",
    "scaled_forward",
    "scaled_log_likelihood",
    "scan_forward",
]

_Emit: TypeAlias = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, ...]]


class ScaledForward(NamedTuple):
    """What the scaled forward recursion leaves behind, in the layout of `Orientation`.

    Attributes
    ----------
    filtered : Array, a series
        ``p(z_t | y_0 ... y_t)``; anything on padding.
    emission : Array, a series
        ``exp(log_likelihoods - m_t)``, at most 1.
    normaliser : Array, shape (T, N)
        ``c_t``; 1 on padding.
    log_likelihood : Array, shape (N,)
    """

    filtered: jax.Array
    emission: jax.Array
    normaliser: jax.Array
    log_likelihood: jax.Array


def _matrices(
    chain: Chain, layout: Orientation, first: int, last: int
) -> tuple[jax.Array | None, jax.Array | None]:
    """Give the matrix for the closure of a scan, or the matrices for the scan to consume.

    The scans have T turns and there are T - 1 transitions: `first` or `last` counts the
    zero matrices that fill up, whose product is dropped.
    """
    matrices = layout.matrices(chain.transition_matrix)
    if chain.static:
        return matrices[0], None
    return None, jnp.pad(matrices, ((first, last), (0, 0), (0, 0), (0, 0)))


def scaled_emissions(chain: Chain) -> tuple[jax.Array, jax.Array]:
    """Give ``b_t`` as a series and ``m_t`` with shape (T, N).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> chain, _ = flatten_batch(jnp.array([[-500.0, -500.0]]), jnp.ones(2), jnp.eye(2), None)
    >>> emission, top = scaled_emissions(chain)
    >>> print(emission[0, :, 0], top[0])
    [1. 1.] [-500.]
    """
    top = jnp.max(chain.log_likelihoods, axis=-1)
    # The scale cancels out of every result, so no derivative need flow through it.
    top = lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
    emission = jnp.exp(chain.log_likelihoods - top[..., None])
    return orientation(chain).series(emission), top.T


def scan_forward(chain: Chain, emission: jax.Array, emit: _Emit) -> tuple[jax.Array, ...]:
    """Run the scaled forward recursion and collect what `emit` picks at each step.

    Parameters
    ----------
    chain : Chain
    emission : Array
        A series of scaled emission probabilities.
    emit : callable
        Maps ``p(z_t | y_0 ... y_{t-1})``, ``p(z_t | y_0 ... y_t)`` and ``c_t`` to a tuple.

    Returns
    -------
    tuple of Array
        What `emit` returned, stacked over time.
    """
    layout = orientation(chain)
    fixed, varying = _matrices(chain, layout, 0, 1)

    def step(
        predicted: jax.Array, at: tuple[jax.Array | None, jax.Array]
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        own, emitted = at
        matrix = fixed if own is None else own
        assert matrix is not None
        raw = predicted * emitted
        normaliser = layout.sum_states(raw)
        filtered = raw * jnp.expand_dims(1 / normaliser, layout.state_axis)
        return layout.propagate(filtered, matrix), emit(predicted, filtered, normaliser)

    # Padding is not treated here: what happens there reaches nothing that is used.
    start = jnp.broadcast_to(layout.column(chain.initial_probs), emission.shape[1:])
    return lax.scan(step, start, (varying, emission))[1]


def _summed(chain: Chain, normaliser: jax.Array, top: jax.Array) -> jax.Array:
    terms = jnp.log(normaliser) + top
    return accurate_sum(terms if chain.active is None else jnp.where(chain.active.T, terms, 0))


def scaled_log_likelihood(chain: Chain) -> jax.Array:
    """Run the forward recursion for its normalisers only.

    Returns
    -------
    Array, shape (N,)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> ll = jnp.log(jnp.array([[0.5, 0.1], [0.2, 0.4]]))
    >>> chain, _ = flatten_batch(ll, jnp.ones(2) / 2, jnp.array([[0.9, 0.1], [0.2, 0.8]]), None)
    >>> print(np.exp(scaled_log_likelihood(chain)).round(4))
    [0.073]
    """
    emission, top = scaled_emissions(chain)
    (normaliser,) = scan_forward(chain, emission, lambda predicted, filtered, norm: (norm,))
    return _summed(chain, normaliser, top)


def scaled_forward(chain: Chain) -> ScaledForward:
    """Run the forward recursion and keep what the backward recursion needs.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> chain, _ = flatten_batch(jnp.zeros((3, 2)), jnp.ones(2) / 2, jnp.eye(2), None)
    >>> print(scaled_forward(chain).filtered[-1, :, 0])
    [0.5 0.5]
    """
    emission, top = scaled_emissions(chain)
    filtered, normaliser = scan_forward(
        chain, emission, lambda predicted, filtered, norm: (filtered, norm)
    )
    log_likelihood = _summed(chain, normaliser, top)
    if chain.active is not None:
        normaliser = jnp.where(chain.active.T, normaliser, 1)
    return ScaledForward(filtered, emission, normaliser, log_likelihood)


def scaled_backward(chain: Chain, forward: ScaledForward) -> jax.Array:
    r"""Run the backward recursion with the normalisers of the forward one.

    Returns
    -------
    Array, a series
        :math:`\beta_t(i) = p(y_{t+1} \ldots y_{T-1} | z_t = i) / p(y_{t+1} \ldots y_{T-1} |
        y_0 \ldots y_t)`; 1 on padding.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> chain, _ = flatten_batch(jnp.zeros((3, 2)), jnp.ones(2) / 2, jnp.eye(2), None)
    >>> print(scaled_backward(chain, scaled_forward(chain))[0, :, 0])
    [1. 1.]
    """
    layout = orientation(chain)
    fixed, varying = _matrices(chain, layout, 1, 0)

    def step(
        beta: jax.Array, at: tuple[jax.Array | None, jax.Array, jax.Array, jax.Array | None]
    ) -> tuple[jax.Array, jax.Array]:
        own, emitted, scale, on = at
        matrix = fixed if own is None else own
        assert matrix is not None
        evidence = emitted * beta * jnp.expand_dims(scale, layout.state_axis)
        earlier = layout.pull_back(matrix, evidence)
        if on is not None:
            earlier = jnp.where(jnp.expand_dims(on, layout.state_axis), earlier, 1)
        return earlier, beta

    last = jnp.ones_like(forward.emission[0])
    on = None if chain.active is None else chain.active.T
    xs = (varying, forward.emission, 1 / forward.normaliser, on)
    return lax.scan(step, last, xs, reverse=True)[1]
