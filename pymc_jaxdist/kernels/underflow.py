"""Tell for which sequences the scaled recursions may have lost something.

Scaling keeps the filtered probabilities near 1, but a single state can still fall below the
smallest floating point number and be flushed to zero. That matters only if later evidence
brings the state back.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.chain import Chain
from pymc_jaxdist.kernels.lazy import run_if_any
from pymc_jaxdist.kernels.orientation import orientation
from pymc_jaxdist.kernels.scaled import ScaledForward, scaled_emissions, scan_forward

__all__ = ["loss_thresholds", "may_have_lost_mass", "posterior_may_have_lost_mass"]


def loss_thresholds(dtype: jnp.dtype) -> tuple[float, float]:
    """Give the probabilities above which no product of the two kinds can underflow.

    The range of the floating point type is divided: one third for the entries of the
    parameters and for the normalisers, two thirds for the filtered probabilities.

    Returns
    -------
    entry : float
        2.8e-103 in float64, 2.3e-13 in float32.
    filtered : float
        7.9e-206 in float64, 5.2e-26 in float32.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> entry, filtered = loss_thresholds(jnp.dtype("float64"))
    >>> f"{entry:.1e} {filtered:.1e}"
    '2.8e-103 7.9e-206'
    """
    tiny = float(jnp.finfo(dtype).tiny)
    return tiny ** (1 / 3), tiny ** (2 / 3)


def posterior_may_have_lost_mass(
    chain: Chain, forward: ScaledForward, beta: jax.Array
) -> jax.Array:
    r"""Decide from both recursions.

    What the forward recursion flushed to zero at (t, j) is below ``tiny / c_t`` of the
    filter, and what became of it afterwards is a factor :math:`\beta_t(j)`. While every
    :math:`\beta_t(j) / c_t` stays below ``tiny ** (-2/3)``, at most ``tiny ** (1/3)`` of the
    posterior was lost per step and state. What the backward recursion flushed has weight
    :math:`\alpha_t(j) \le 1`, which is harmless.

    Returns
    -------
    Array of bool, shape (N,)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> from pymc_jaxdist.kernels.scaled import scaled_backward, scaled_forward
    >>> ll = jnp.array([[0.0, -800.0], [-900.0, 0.0]])
    >>> chain, _ = flatten_batch(ll, jnp.ones(2) / 2, jnp.eye(2), None)
    >>> forward = scaled_forward(chain)
    >>> posterior_may_have_lost_mass(chain, forward, scaled_backward(chain, forward))
    Array([ True], dtype=bool)
    """
    _, filtered = loss_thresholds(beta.dtype)
    largest = jnp.max(beta, axis=1 + orientation(chain).state_axis)
    # Written so that NaN counts as lost.
    kept = (largest / forward.normaliser <= 1 / filtered) & (forward.normaliser > 0)
    if chain.active is not None:
        kept |= ~chain.active.T
    return ~jnp.all(kept, axis=0)


def may_have_lost_mass(chain: Chain) -> jax.Array:
    """Decide without the backward recursion.

    Then one cannot know whether lost mass mattered later, so a sequence passes only if
    nothing was lost at all. There is one exception: if all entries of the parameters exceed
    the first of `loss_thresholds`, every state can be reached at every step, the posterior
    of lost mass is below ``tiny ** (1/3)``, and scaling is exact whatever the evidence.

    Returns
    -------
    Array of bool, shape (N,)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> ll = jnp.array([[0.0, -800.0], [-900.0, 0.0]])
    >>> for matrix in jnp.eye(2), jnp.ones((2, 2)) / 2:
    ...     chain, _ = flatten_batch(ll, jnp.ones(2) / 2, matrix, None)
    ...     print(may_have_lost_mass(chain))
    [ True]
    [False]
    """
    ll, start, matrix, active = chain
    entry, filtered = loss_thresholds(ll.dtype)
    dense = jnp.all(start >= entry, axis=1) & jnp.all(matrix >= entry, axis=(1, 2, 3))
    # With an entry this small, products can vanish where neither factor is zero.
    weak = jnp.any((matrix > 0) & (matrix < entry), axis=(1, 2, 3))
    layout = orientation(chain)

    def judge(
        predicted: jax.Array, probs: jax.Array, normaliser: jax.Array
    ) -> tuple[jax.Array, ...]:
        # Negated comparisons, so that NaN counts as lost.
        return (predicted > 0) & ~(probs >= filtered), ~(normaliser >= entry)

    def look(_: jax.Array) -> jax.Array:
        emission, _ = scaled_emissions(chain)
        vanished, tiny = scan_forward(chain, emission, judge)
        lost = vanished & (layout.series(ll) > -jnp.inf)
        bad = jnp.any(lost, axis=1 + layout.state_axis) | tiny
        if active is not None:
            bad &= active.T
        return ~dense & (weak | jnp.any(bad, axis=0))

    return run_if_any(~dense, look, jnp.zeros(len(ll), dtype=bool))
