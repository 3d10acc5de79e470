r"""Scaled forward and backward recursions of eight stretches of time at once.

A stretch is a sequence, or a part of a long one. It occupies one lane of the vectors: at each step
every lane is at its own time of its own stretch. Arrays are flat; the number of state k at step s
in lane l is at ``(s * K + k) * 8 + l``.

The recursions are those of `pymc_jaxdist.kernels.scaled`:

.. math::

    \alpha_t(j) = b_t(j) \bar\alpha_t(j) / c_t, \quad
    \bar\alpha_{t+1}(j) = \sum_i \alpha_t(i) P_{ij}, \quad
    \beta_{t-1}(i) = \sum_j P_{ij} b_t(j) \beta_t(j) / c_t

but for the scale of :math:`\beta_t`, which is chosen at each step such that :math:`\sum_k
\alpha_t(k) \beta_t(k) = 1`; rounding errors then do not add up along the recursion.

References
----------
Rabiner, L. R. (1989). A tutorial on hidden Markov models and selected applications in
speech recognition. Proceedings of the IEEE 77, 257-286.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pymc_jaxdist.kernels.native.addresses import floats, integers
from pymc_jaxdist.kernels.native.compilation import called_from_compiled, inlined
from pymc_jaxdist.kernels.native.exponential import exponential
from pymc_jaxdist.kernels.native.vectors import (
    LANES,
    exponent,
    gather,
    lane,
    lane_sum,
    larger,
    load,
    mantissa,
    select_before,
    splat,
    store,
)

__all__ = [
    "Lanes",
    "add_pairs",
    "backward",
    "forward",
    "lanes_at",
    "pair_sums",
    "size_of_lanes",
]

LOG_2 = math.log(2.0)
# Half of the numbers that 24 KiB hold: two arrays fit into the first cache of any processor.
FIRST_CACHE = 1536
# Bytes of a line of the cache.
LINE = 64
# Fewer products than these are faster one by one (measured: 10 by a third; 50 slower by as much).
TILED_STATES = 24


class Lanes(NamedTuple):
    """What the recursions of eight stretches read and leave behind.

    Attributes
    ----------
    starts : pointer to integers, shape (8,)
        Where each stretch begins in the flat log-likelihoods.
    ends : pointer, shape (8,)
        The number of steps of each stretch; later ones are padding.
    matrices : pointer to integers, shape (8,)
        Where the transition matrix of each lane begins.
    predicted : pointer, shape (K * 8,)
        ``p(z_t | earlier observations)``: of the first step before `forward`, of the last step
        after it.
    beta : pointer, shape (K * 8,)
        Of the last step, on any scale, before `backward`; of the first step after it.
    last : pointer, shape (K * 8,)
        A copy of beta before `backward`.
    column : pointer, shape (K * 8,)
        Scratch.
    emission : pointer, shape (steps * K * 8,)
        ``b_t`` after `forward`, ``b_t * beta_t / c_t`` after `backward`, which is 0 on padding.
    filtered : pointer, shape (steps * K * 8,)
        ``alpha_t``.
    inverse_normaliser : pointer, shape (steps * 8,)
        ``1 / c_t``.
    log_likelihood : pointer, shape (8,)
    sum_of_emissions : pointer, shape (8,)
        Finite unless an observation is NaN, infinitely likely, or impossible under each state.
    sum_of_ratios : pointer, shape (8,)
        Of ``beta_t / c_t`` over times and states: beyond the largest of them.
    """

    starts: Any
    ends: Any
    matrices: Any
    predicted: Any
    beta: Any
    last: Any
    column: Any
    emission: Any
    filtered: Any
    inverse_normaliser: Any
    log_likelihood: Any
    sum_of_emissions: Any
    sum_of_ratios: Any


@called_from_compiled
def size_of_lanes(steps, states):
    """Count the numbers that lanes of at most so many steps need."""
    # One vector more, since the first begins where a line of the cache does: it is read fastest.
    return (2 * steps + 4) * states * LANES + (steps + 7) * LANES


@inlined
def lanes_at(memory, steps, states):
    """Lay lanes out in memory at an address."""
    address = memory + -memory % LINE
    size, vector = 8 * states * LANES, 8 * LANES
    columns = address + 6 * vector
    series = columns + 4 * size
    normalisers = series + 2 * steps * size
    return Lanes(
        integers(address),
        floats(address + vector),
        integers(address + 2 * vector),
        floats(columns),
        floats(columns + size),
        floats(columns + 2 * size),
        floats(columns + 3 * size),
        floats(series),
        floats(series + steps * size),
        floats(normalisers),
        floats(address + 3 * vector),
        floats(address + 4 * vector),
        floats(address + 5 * vector),
    )


@inlined
def _products(series, at, matrix, offset, out, states, across, along):
    """Write ``sum_i x_i * matrix[offset + i * along + j * across]`` for each j.

    Four sums at a time share what they read, and do not wait for each other.
    """
    tiled = states - states % 4 if states >= TILED_STATES else 0
    for j in range(0, tiled, 4):
        a, b, c, d = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        for i in range(states):
            x = load(series, at + i * LANES)
            p = offset + i * along + j * across
            a += x * matrix[p]
            b += x * matrix[p + across]
            c += x * matrix[p + 2 * across]
            d += x * matrix[p + 3 * across]
        store(out, j * LANES, a)
        store(out, (j + 1) * LANES, b)
        store(out, (j + 2) * LANES, c)
        store(out, (j + 3) * LANES, d)
    for j in range(tiled, states):
        a = splat(0.0)
        for i in range(states):
            a += load(series, at + i * LANES) * matrix[offset + i * along + j * across]
        store(out, j * LANES, a)


@inlined
def _own_products(series, at, matrix, starts, offset, out, states, across, along):
    """Do the same where each lane has its own matrix, which begins at `starts`."""
    for j in range(states):
        total = splat(0.0)
        for i in range(states):
            moved = gather(matrix, starts, offset + i * along + j * across)
            total += load(series, at + i * LANES) * moved
        store(out, j * LANES, total)


@inlined
def forward(lanes, log_likelihoods, matrix, shared, stride, steps, states):
    """Run the forward recursion.

    Parameters
    ----------
    lanes : Lanes
    log_likelihoods, matrix : pointer
    shared : bool
        Whether one matrix serves all lanes; otherwise each has its own, at `lanes.matrices`.
    stride : int
        From the matrix of one step to that of the next: 0 if it is constant in time.
    steps, states : int
    """
    one, zero = splat(1.0), splat(0.0)
    ends = load(lanes.ends, 0)
    size = states * LANES
    product, power, tops, seen = one, zero, zero, zero
    for s in range(steps):
        now = splat(float(s))
        at = s * size
        top = splat(-np.inf)
        for k in range(states):
            given = gather(log_likelihoods, lanes.starts, s * states + k)
            given = select_before(now, ends, given, zero)
            store(lanes.column, k * LANES, given)
            top = larger(given, top)
        total = zero
        for k in range(states):
            emitted = exponential(load(lanes.column, k * LANES) - top)
            seen += emitted
            store(lanes.emission, at + k * LANES, emitted)
            joint = emitted * load(lanes.predicted, k * LANES)
            store(lanes.column, k * LANES, joint)
            total += joint
        inverse = one / total
        store(lanes.inverse_normaliser, s * LANES, inverse)
        for k in range(states):
            probs = load(lanes.column, k * LANES) * inverse
            store(lanes.filtered, at + k * LANES, select_before(now, ends, probs, zero))
        # The logarithm of a product, whose exponent is taken out at each step.
        product *= select_before(now, ends, total, one)
        power += exponent(product)
        product = mantissa(product)
        tops += top
        if s < steps - 1:
            offset, of_now, ahead = stride * s, lanes.filtered, lanes.predicted
            if shared:
                _products(of_now, at, matrix, offset, ahead, states, 1, states)
            else:
                _own_products(of_now, at, matrix, lanes.matrices, offset, ahead, states, 1, states)
    store(lanes.sum_of_emissions, 0, seen)
    for i in range(LANES):
        logarithm = math.log(lane(product, i)) + lane(power, i) * LOG_2
        lanes.log_likelihood[i] = logarithm + lane(tops, i)


@inlined
def backward(lanes, matrix, shared, stride, steps, states, posterior):
    """Run the backward recursion after the forward recursion.

    Parameters
    ----------
    lanes, matrix, shared, stride, steps, states
        As for `forward`.
    posterior : pointer
        Gets the posterior probabilities of the states, laid out like the log-likelihoods.
    """
    one, zero = splat(1.0), splat(0.0)
    ends = load(lanes.ends, 0)
    size = states * LANES
    for i in range(size):
        lanes.last[i] = lanes.beta[i]
    ratios = zero
    for s in range(steps - 1, -1, -1):
        now = splat(float(s))
        at = s * size
        total = zero
        for k in range(states):
            # A stretch that ends later than others begins with its own last step.
            beta = select_before(
                now + 1.0, ends, load(lanes.beta, k * LANES), load(lanes.last, k * LANES)
            )
            store(lanes.beta, k * LANES, beta)
            both = beta * load(lanes.filtered, at + k * LANES)
            store(lanes.column, k * LANES, both)
            total += both
        scale = one / total
        ratio_scale = scale * load(lanes.inverse_normaliser, s * LANES)
        for k in range(states):
            store(lanes.column, k * LANES, load(lanes.column, k * LANES) * scale)
            ratio = load(lanes.beta, k * LANES) * ratio_scale
            ratios += select_before(now, ends, ratio, zero)
            evidence = load(lanes.emission, at + k * LANES) * ratio
            store(lanes.emission, at + k * LANES, select_before(now, ends, evidence, zero))
        for i in range(LANES):
            if s < lanes.ends[i]:
                for k in range(states):
                    posterior[lanes.starts[i] + s * states + k] = lanes.column[k * LANES + i]
        if s > 0:
            offset, of_now, before = stride * (s - 1), lanes.emission, lanes.beta
            if shared:
                _products(of_now, at, matrix, offset, before, states, states, 1)
            else:
                _own_products(of_now, at, matrix, lanes.matrices, offset, before, states, states, 1)
    store(lanes.sum_of_ratios, 0, ratios)


@inlined
def pair_sums(lanes, steps, states, pairs):
    """Sum ``alpha_{t-1}(i) * b_t(j) * beta_t(j) / c_t`` over the steps of each lane.

    Parameters
    ----------
    lanes : Lanes
        After `backward`.
    steps, states : int
    pairs : pointer, shape (K * K * 8,)
        Gets the sums.
    """
    filtered, evidence = lanes.filtered, lanes.emission
    size = states * LANES
    tiled = states - states % 4
    for i in range(states * size):
        pairs[i] = 0.0
    # Stretches of time that stay in the first cache while all pairs are summed.
    stretch = max(4, FIRST_CACHE // size)
    for begin in range(1, steps, stretch):
        end = min(begin + stretch, steps)
        for i in range(states):
            for j in range(0, tiled, 4):
                to = (i * states + j) * LANES
                a, b = load(pairs, to), load(pairs, to + LANES)
                c, d = load(pairs, to + 2 * LANES), load(pairs, to + 3 * LANES)
                for s in range(begin, end):
                    x = load(filtered, (s - 1) * size + i * LANES)
                    at = s * size + j * LANES
                    a += x * load(evidence, at)
                    b += x * load(evidence, at + LANES)
                    c += x * load(evidence, at + 2 * LANES)
                    d += x * load(evidence, at + 3 * LANES)
                store(pairs, to, a)
                store(pairs, to + LANES, b)
                store(pairs, to + 2 * LANES, c)
                store(pairs, to + 3 * LANES, d)
            for j in range(tiled, states):
                to = (i * states + j) * LANES
                a = load(pairs, to)
                for s in range(begin, end):
                    x = load(filtered, (s - 1) * size + i * LANES)
                    a += x * load(evidence, s * size + j * LANES)
                store(pairs, to, a)


@inlined
def add_pairs(lanes, steps, states, pairs):
    """Add the expected transitions of all lanes, divided by their probability.

    Parameters
    ----------
    lanes : Lanes
        After `backward`.
    steps, states : int
    pairs : pointer
        Those from step s to the next are added at ``s * K * K``.
    """
    size = states * LANES
    for s in range(1, steps):
        for i in range(states):
            x = load(lanes.filtered, (s - 1) * size + i * LANES)
            to = ((s - 1) * states + i) * states
            for j in range(states):
                pairs[to + j] += lane_sum(x * load(lanes.emission, s * size + j * LANES))
