r"""One long sequence as eight stretches of time, side by side.

The recursions along a stretch need the predicted probabilities with which it begins and
:math:`\beta` where it ends. Both follow from what the stretches before and after do to any vector:
with :math:`D_t = \mathrm{diag}(b_t)`, from the products

.. math::

    M = D_{t_0} P D_{t_0 + 1} P \cdots D_{t_1} P,

which are computed for all stretches at once. That costs K times the arithmetic of a recursion, and
eight times fewer steps.

References
----------
Särkkä, S. and García-Fernández, Á. F. (2021). Temporal parallelization of Bayesian smoothers.
IEEE Transactions on Automatic Control 66, 299-306.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import types

from pymc_jaxdist.kernels.native.addresses import floats
from pymc_jaxdist.kernels.native.compilation import (
    compiled_on_demand,
    compiled_to_keep,
    inlined,
)
from pymc_jaxdist.kernels.native.exponential import exponential
from pymc_jaxdist.kernels.native.lanes import lanes_at
from pymc_jaxdist.kernels.native.vectors import (
    LANES,
    gather,
    larger,
    load,
    select_before,
    splat,
    store,
)

__all__ = ["begin_stretches_address", "join_stretches_address"]

# Products are scaled once in so many steps. What falls below SMALLEST meanwhile is not trusted.
STEPS_PER_SCALING = 8
SMALLEST = 1e-200


@inlined
def _products(lanes, log_likelihoods, matrix, last, steps, states, products):
    """Compute M for each lane, up to a scale, at ``(i * K + j) * 8 + lane``."""
    zero, one = splat(0.0), splat(1.0)
    ends = load(lanes.ends, 0)
    for i in range(states):
        for j in range(states):
            store(products, (i * states + j) * LANES, one if i == j else zero)
    for s in range(steps):
        now = splat(float(s))
        top = splat(-np.inf)
        for k in range(states):
            given = gather(log_likelihoods, lanes.starts, s * states + k)
            store(lanes.column, k * LANES, given)
            top = larger(given, top)
        for k in range(states):
            emitted = exponential(load(lanes.column, k * LANES) - top)
            store(lanes.column, k * LANES, select_before(now, ends, emitted, one))
        for i in range(states):
            row = i * states * LANES
            for j in range(states):
                at = row + j * LANES
                store(products, at, load(products, at) * load(lanes.column, j * LANES))
            for j in range(states):
                total = zero
                for k in range(states):
                    total += load(products, row + k * LANES) * matrix[k * states + j]
                still = load(products, row + j * LANES)
                store(lanes.beta, j * LANES, select_before(now, last, total, still))
            for j in range(states):
                store(products, row + j * LANES, load(lanes.beta, j * LANES))
        if s % STEPS_PER_SCALING == STEPS_PER_SCALING - 1:
            total = zero
            for i in range(states * states):
                total += load(products, i * LANES)
            total = one / total
            for i in range(states * states):
                store(products, i * LANES, load(products, i * LANES) * total)


@inlined
def _trusted(products, states):
    """Tell whether every row of every product is far from underflow."""
    trusted = True
    for at in range(LANES):
        for i in range(states):
            total = 0.0
            for j in range(states):
                total += products[(i * states + j) * LANES + at]
            trusted &= SMALLEST < total < np.inf
    return trusted


@inlined
def _connect(lanes, matrix, states, products):
    """Set the predicted probabilities and beta of the stretches from those of their neighbours."""
    for at in range(1, LANES):
        whole = 0.0
        for j in range(states):
            total = 0.0
            for i in range(states):
                moved = products[(i * states + j) * LANES + at - 1]
                total += lanes.predicted[i * LANES + at - 1] * moved
            lanes.predicted[j * LANES + at] = total
            whole += total
        for j in range(states):
            lanes.predicted[j * LANES + at] /= whole
    ahead = lanes.column
    for k in range(states):
        lanes.beta[k * LANES + LANES - 1] = 1.0
    for at in range(LANES - 1, 0, -1):
        # What lies ahead, seen from the beginning of this stretch; of the last one, from its end.
        further = at if at == LANES - 1 else at + 1
        whole = 0.0
        for i in range(states):
            total = 0.0
            for j in range(states):
                known = 1.0 if at == LANES - 1 else ahead[j * LANES + further]
                total += products[(i * states + j) * LANES + at] * known
            lanes.emission[i] = total
            whole += total
        for i in range(states):
            ahead[i * LANES + at] = lanes.emission[i] / whole
        for i in range(states):
            total = 0.0
            for j in range(states):
                total += matrix[i * states + j] * ahead[j * LANES + at]
            lanes.beta[i * LANES + at - 1] = total


@lru_cache
def _begin_stretches(unrolled: int) -> Any:
    """Compile what cuts a sequence into stretches, and finds with what each begins and ends.

    A function of the address and the number of steps of `Lanes`, at least ``times // 8 + 8``; of
    the address of the log-likelihoods of all sequences, and where in them this one begins; of the
    numbers of its steps and of states; and of the addresses of its initial probabilities, of its
    transition matrix and of K * K * 8 numbers, which get the products. It returns 1, or 0 if these
    cannot be trusted; then the lanes are of no use.
    """

    def begin_stretches(memory, room, ll, begin, times, states, start, matrix, products):
        if unrolled > 0:
            states = np.int64(unrolled)
        lanes, products = lanes_at(memory, room, states), floats(products)
        start, matrix = floats(start), floats(matrix)
        each = times // LANES
        steps = times - (LANES - 1) * each
        for i in range(LANES):
            lanes.starts[i] = begin + i * each * states
            # Shorter stretches than the last look into the next one, which is not used.
            lanes.ends[i] = steps if i == LANES - 1 else each
            # Stretches end with a transition into the next one.
            lanes.column[i] = steps - 1 if i == LANES - 1 else each
        _products(lanes, floats(ll), matrix, load(lanes.column, 0), steps, states, products)
        for k in range(states):
            lanes.predicted[k * LANES] = start[k]
        _connect(lanes, matrix, states, products)
        return 1.0 if _trusted(products, states) else 0.0

    return compiled_to_keep(begin_stretches, f"float64({', '.join(9 * ['int64'])})")


@lru_cache
def _join_stretches() -> Any:
    """Compile what collects in lane 0 what is known of the whole sequence.

    A function of the address and the number of steps of `Lanes`, of the number of states, and of
    the addresses of the transition matrix and of the sums over the pairs of each stretch, K * K * 8
    numbers. It returns 0.
    """

    def join_stretches(memory, room, states, matrix, sums):
        lanes, matrix, sums = lanes_at(memory, room, states), floats(matrix), floats(sums)
        final = (int(lanes.ends[0]) - 1) * states * LANES
        for at in range(1, LANES):
            # Predicted probabilities were made to sum to one at the border. They do so by
            # themselves but for rounding, unless rows of the matrix do not.
            whole = 0.0
            for i in range(states):
                for j in range(states):
                    moved = matrix[i * states + j]
                    whole += lanes.filtered[final + i * LANES + at - 1] * moved
            for i in range(states):
                before = lanes.filtered[final + i * LANES + at - 1] / whole
                for j in range(states):
                    to = (i * states + j) * LANES
                    sums[to] += sums[to + at] + before * lanes.emission[j * LANES + at]
            lanes.log_likelihood[0] += lanes.log_likelihood[at] + math.log(whole)
            lanes.sum_of_emissions[0] += lanes.sum_of_emissions[at]
            lanes.sum_of_ratios[0] += lanes.sum_of_ratios[at]
        return 0.0

    return compiled_to_keep(join_stretches, f"float64({', '.join(5 * ['int64'])})")


# Most models have shorter sequences, or more of them.
join_stretches_address = compiled_on_demand("pymc_jaxdist_join_stretches", _join_stretches)


@lru_cache
def begin_stretches_address(unrolled: int) -> types.ExternalFunction:
    """Let compiled code ask for `_begin_stretches`."""
    return compiled_on_demand(
        f"pymc_jaxdist_begin_stretches_{unrolled}", lambda: _begin_stretches(unrolled)
    )
