"""Forward and backward recursions that cannot underflow.

The same recursions as in `pymc_jaxdist.kernels.scaled`, on numbers of extended range:
exact for a path of probability 1e-400, for structural zeros, and for evidence that
reverses itself by any number of nats. An order of magnitude slower, and therefore only
run for the sequences that need it (Zucchini, MacDonald and Langrock 2016, section 3.2,
discuss the underflow; their scaling is ours, and this is for where it is not enough).

References
----------
Zucchini, W., MacDonald, I. L. and Langrock, R. (2016). Hidden Markov Models for Time
Series: An Introduction Using R, 2nd edition. CRC Press.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.accurate_sum import accurate_sum
from pymc_jaxdist.kernels.chain import Chain
from pymc_jaxdist.kernels.extended_range import Extended
from pymc_jaxdist.kernels.orientation import SequencesLast

__all__ = ["ExpectedCounts", "extended_counts", "extended_forward", "extended_log_likelihood"]


class ExpectedCounts(NamedTuple):
    """Weighted posterior expectations: the gradient of the log-likelihood.

    Attributes
    ----------
    log_likelihoods : Array, shape (N, T, K)
        Posterior probability of state k at time t, times the weight of the sequence.
    initial_probs : Array, shape of the chain's ``initial_probs``
        Expected first states divided by their probability.
    transition_matrix : Array, shape of the chain's ``transition_matrix``
        Expected transitions divided by their probability.
    """

    log_likelihoods: jax.Array
    initial_probs: jax.Array
    transition_matrix: jax.Array


class _Terms(NamedTuple):
    """The chain as extended numbers, time first and sequences last."""

    start: Extended  # (K, N)
    emission: Extended  # (T, K, N)
    fixed: Extended | None  # (K, K, N) or (K, K, 1)
    varying: Extended | None  # (T - 1, K, K, N) or (T - 1, K, K, 1)
    active: jax.Array | None  # (T, N)

    @staticmethod
    def of(chain: Chain) -> _Terms:
        layout = SequencesLast()
        matrices = Extended.from_value(layout.matrices(chain.transition_matrix))
        emission = Extended.from_log(layout.series(chain.log_likelihoods))
        start = layout.column(chain.initial_probs)
        return _Terms(
            Extended.from_value(jnp.broadcast_to(start, emission.mantissa.shape[1:])),
            emission,
            matrices.at(0) if chain.static else None,
            None if chain.static else matrices,
            None if chain.active is None else chain.active.T,
        )

    def matrix(self, own: Extended | None) -> Extended:
        matrix = self.fixed if own is None else own
        assert matrix is not None
        return matrix

    def active_at(self, index: int | slice) -> jax.Array | None:
        return None if self.active is None else self.active[index]


_LATER, _EARLIER = slice(1, None), slice(None, -1)


def _rescale(x: Extended) -> tuple[Extended, jax.Array]:
    """Bring the largest of the states to exponent 0, so that float32 keeps its digits."""
    top = x.top(axis=0)
    top = jnp.where(jnp.isfinite(top), top, 0)
    return Extended(x.mantissa, x.exponent - top[None]), top


def extended_forward(chain: Chain) -> tuple[Extended, jax.Array]:
    """Run the forward recursion.

    Returns
    -------
    filtered : Extended, shape (T, K, N)
        Proportional to ``p(z_t | y_0 ... y_t)``, the largest state having exponent 0.
    log_scale : Array, shape (T, N)
        The logarithms of what was divided out at each step.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> ll = jnp.array([[0.0, -800.0], [-900.0, 0.0]])
    >>> chain, _ = flatten_batch(ll, jnp.ones(2) / 2, jnp.eye(2), None)
    >>> print(extended_forward(chain)[0].exponent[-1, :, 0])
    [-100.    0.]
    """
    terms = _Terms.of(chain)

    def step(
        probs: Extended, at: tuple[Extended | None, Extended, jax.Array | None]
    ) -> tuple[Extended, tuple[Extended, jax.Array]]:
        own, emitted, on = at
        hops = probs.at((slice(None), None)).times(terms.matrix(own))
        new, top = _rescale(hops.sum(axis=0).times(emitted))
        if on is not None:
            new, top = new.where(on[None], probs), jnp.where(on, top, 0)
        return new, (new, top)

    first = terms.start.times(terms.emission.at(0))
    on = terms.active_at(0)
    if on is not None:
        first = first.where(on[None], terms.start)
    first, top = _rescale(first)
    xs = (terms.varying, terms.emission.at(_LATER), terms.active_at(_LATER))
    _, (rest, tops) = lax.scan(step, first, xs)
    filtered = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)
    return filtered, jnp.concatenate([top[None], tops])


def extended_log_likelihood(chain: Chain) -> jax.Array:
    """Give the log-likelihood of each sequence; -inf exactly where no path is possible.

    Returns
    -------
    Array, shape (N,)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> ll = jnp.array([[0.0, -800.0], [-900.0, 0.0]])
    >>> chain, _ = flatten_batch(ll, jnp.ones(2) / 2, jnp.eye(2), None)
    >>> print(np.asarray(extended_log_likelihood(chain)).round(3))
    [-800.693]
    """
    filtered, log_scale = extended_forward(chain)
    return filtered.at(-1).sum(axis=0).log() + accurate_sum(log_scale)


def extended_counts(chain: Chain, use: jax.Array, weights: jax.Array) -> ExpectedCounts:
    r"""Run both recursions and give the weighted gradient.

    With :math:`q_t(j) = e^{\ell_t(j)} \beta_t(j)` and :math:`Z_t = \sum_i \alpha_t(i)
    \beta_t(i)`, the derivatives of :math:`\log L` are :math:`\alpha_t(k) \beta_t(k) / Z_t`
    for :math:`\ell_t(k)`, :math:`\sum_t \alpha_{t-1}(i) q_t(j) / Z_{t-1}` for
    :math:`P_{ij}` and :math:`q_0(j) / \sum_k \delta_k q_0(k)` for :math:`\delta_j`. Any
    scale may be taken out of :math:`\alpha_t` and :math:`\beta_t`: it cancels at each t, so
    no error accumulates over time.

    Parameters
    ----------
    chain : Chain
    use : Array of bool, shape (N,)
        The sequences that count; the others contribute exactly 0.
    weights : Array, shape (N,)
        The cotangent of the log-likelihoods.

    Returns
    -------
    ExpectedCounts

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> ll = jnp.array([[0.0, -800.0], [-900.0, 0.0]])
    >>> chain, _ = flatten_batch(ll, jnp.ones(2) / 2, jnp.eye(2), None)
    >>> counts = extended_counts(chain, jnp.array([True]), jnp.ones(1))
    >>> print(np.asarray(counts.log_likelihoods)[0].round(3))
    [[0. 1.]
     [0. 1.]]
    """
    terms = _Terms.of(chain)
    filtered, _ = extended_forward(chain)

    def share(
        part: Extended, total: Extended, factor: Extended, on: jax.Array | None = None
    ) -> jax.Array:
        """Give the weighted derivative by `factor`, and 0 for sequences that do not count."""
        lanes = (1,) * (part.mantissa.ndim - 1) + (-1,)
        whole = jax.tree.map(lambda x: x.reshape(lanes), total)
        ratio = part.over(whole, factor.mantissa > 0)
        keep = use if on is None else use & on
        return jnp.where(keep.reshape(lanes), ratio * weights.reshape(lanes), 0)

    def step(
        carry: tuple[Extended, jax.Array],
        at: tuple[Extended | None, Extended, Extended, jax.Array | None],
    ) -> tuple[tuple[Extended, jax.Array], tuple[jax.Array, jax.Array | None]]:
        beta, so_far = carry
        own, emitted, before, on = at
        evidence = emitted.times(beta)
        matrix = terms.matrix(own)
        new = matrix.times(evidence.at(None)).sum(axis=1)
        if on is not None:
            new = new.where(on[None], beta)
        both = before.times(new)
        total = both.sum(axis=0)
        hops = before.at((slice(None), None)).times(evidence.at(None))
        pairs = share(hops, total, matrix, on)
        if chain.shared:
            pairs = jnp.sum(pairs, axis=-1, keepdims=True)
        states = share(both, total, both)
        # Summed on the way if the matrix is constant in time, else collected.
        if chain.static:
            return (_rescale(new)[0], so_far + pairs), (states, None)
        return (_rescale(new)[0], so_far), (states, pairs)

    one = jnp.ones_like(terms.emission.mantissa[0])
    columns = 1 if chain.shared else len(chain.log_likelihoods)
    none_yet = jnp.zeros_like(one, shape=(*chain.transition_matrix.shape[2:], columns))
    (beta, summed), (states, collected) = lax.scan(
        step,
        (Extended(one, jnp.zeros_like(one)), none_yet),
        (
            terms.varying,
            terms.emission.at(_LATER),
            filtered.at(_EARLIER),
            terms.active_at(_LATER),
        ),
        reverse=True,
    )
    final = filtered.at(-1)
    states = jnp.concatenate([states, share(final, final.sum(axis=0), final)[None]])
    if terms.active is not None:
        states = jnp.where(terms.active[:, None], states, 0)
    evidence = terms.emission.at(0).times(beta)
    total = terms.start.times(evidence).sum(axis=0)
    first = share(evidence, total, terms.start, terms.active_at(0))
    if len(chain.initial_probs) == 1:
        first = jnp.sum(first, axis=-1, keepdims=True)
    pairs = summed[None] if collected is None else collected
    return ExpectedCounts(jnp.moveaxis(states, -1, 0), first.T, jnp.moveaxis(pairs, -1, 0))
