r"""Forward and backward recursions of one sequence on numbers of extended range.

The twin of `pymc_jaxdist.kernels.extended`: exact where a path has probability 1e-400 and where
evidence reverses itself by thousands of nats. A number is :math:`m 2^e` with :math:`m` in
[1/2, 1) or 0. An order of magnitude slower than `pymc_jaxdist.kernels.native.lanes`, and run only
for the sequences of which that may have lost something.

All numbers lie in one place: the mantissa of number i at ``m[i]``, its exponent at ``e[i]``.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from pymc_jaxdist.kernels.native.addresses import floats, in_use, integers
from pymc_jaxdist.kernels.native.compilation import (
    called_from_compiled,
    compiled_on_demand,
    compiled_to_keep,
)
from pymc_jaxdist.kernels.native.exponential import INVERSE_LOG_2, LOG_2_HIGH, LOG_2_LOW

__all__ = ["extended_posterior_address"]

LOG_2 = math.log(2.0)
# The exponent of zero: below that of any number, far from overflow when two are added.
NEVER = -(2**60)
LARGEST = float(np.finfo(np.float64).max)
# A derivative by a positive number is at most its inverse. A million of them can be summed.
LIMIT = LARGEST / 1e6
# A derivative by zero can exceed any float; this can still be multiplied on the way to that zero.
LIMIT_AT_ZERO = math.sqrt(LARGEST)


@called_from_compiled
def _set(m, e, i, mantissa, exponent):
    """Write ``mantissa * 2**exponent``, and return the exponent that it gets."""
    fraction, power = math.frexp(mantissa)
    m[i], e[i] = fraction, exponent + power if fraction != 0.0 else NEVER
    return e[i]


@called_from_compiled
def _set_product_sum(m, e, i, x, y, size, stride):
    """Write ``sum_k number[x + k] * number[y + k * stride]``."""
    top = NEVER
    for k in range(size):
        if m[x + k] > 0.0 and m[y + k * stride] > 0.0:
            top = max(top, e[x + k] + e[y + k * stride])
    total = 0.0
    if top > NEVER:
        for k in range(size):
            factor = m[x + k] * m[y + k * stride]
            if factor > 0.0:
                power = e[x + k] + e[y + k * stride] - top
                total += math.ldexp(factor, max(power, -2000))
    _set(m, e, i, total, top)


@called_from_compiled
def _ratio(m, e, x, y, divisor, limit):
    """Divide the product of two numbers by a third, as an ordinary number of at most `limit`."""
    product = m[x] * m[y]
    if product == 0.0:
        return 0.0
    power = max(e[x] + e[y] - e[divisor], -2000)
    return limit if power > 1022 else min(limit, math.ldexp(product / m[divisor], power))


@called_from_compiled
def _limit(x):
    return LIMIT if x > 0.0 else LIMIT_AT_ZERO


@lru_cache
def _extended_posterior() -> Any:
    """Compile the posterior of one sequence whose transition matrix is constant in time.

    A function of addresses: of log-likelihoods, initial probabilities and transition matrix; then
    the numbers of steps and states; then where the posterior probabilities of the states, the
    gradient by the initial probabilities and that by the matrix go. It returns the log-likelihood,
    -inf exactly if no path is possible; then nothing is written.
    """

    def extended_posterior(ll, start, matrix, steps, K, posterior, first, pairs):
        ll, start, matrix = floats(ll), floats(start), floats(matrix)
        posterior, first, pairs = floats(posterior), floats(first), floats(pairs)
        # Where things begin: transition matrix, filtered probabilities, emission probabilities,
        # those of the states at one time, beta, a sum, and the number one.
        p, f = 0, K * K
        b = f + steps * K
        now = b + steps * K
        beta = now + K
        whole = beta + K
        one = whole + 1
        size = one + 1
        memory = np.empty(2 * size)
        m, e = floats(memory.ctypes.data), integers(memory.ctypes.data + 8 * size)
        for i in range(K * K):
            _set(m, e, p + i, matrix[i], 0)
        for k in range(K):
            _set(m, e, now + k, start[k], 0)
        _set(m, e, one, 1.0, 0)
        scale = 0
        for t in range(steps):
            row = t * K
            top = NEVER
            for k in range(K):
                x = ll[row + k]
                n = max(math.floor(x * INVERSE_LOG_2), float(NEVER))
                _set(m, e, b + row + k, math.exp((x - n * LOG_2_HIGH) - n * LOG_2_LOW), int(n))
                i = f + row + k
                exponent = e[now + k] + e[b + row + k]
                top = max(top, _set(m, e, i, m[now + k] * m[b + row + k], exponent))
            if top == NEVER:
                return -np.inf
            scale += top
            for i in range(f + row, f + row + K):
                if m[i] > 0.0:
                    e[i] -= top
            if t < steps - 1:
                for k in range(K):
                    _set_product_sum(m, e, now + k, f + row, p + k, K, K)
        total = 0.0
        for i in range(f + (steps - 1) * K, f + steps * K):
            total += math.ldexp(m[i], max(e[i], -2000))
        for k in range(K):
            _set(m, e, beta + k, 1.0, 0)
        for t in range(steps - 1, -1, -1):
            row = t * K
            _set_product_sum(m, e, whole, f + row, beta, K, 1)
            top = NEVER
            for k in range(K):
                posterior[row + k] = _ratio(m, e, f + row + k, beta + k, whole, 1.0)
                exponent = e[b + row + k] + e[beta + k]
                top = max(top, _set(m, e, now + k, m[b + row + k] * m[beta + k], exponent))
            for i in range(now, now + K):
                if m[i] > 0.0:
                    e[i] -= top
            if t > 0:
                for k in range(K):
                    _set_product_sum(m, e, beta + k, now, p + k * K, K, 1)
                _set_product_sum(m, e, whole, f + row - K, beta, K, 1)
                for i in range(K):
                    for k in range(K):
                        limit = _limit(m[p + i * K + k])
                        x = f + row - K + i
                        pairs[i * K + k] += _ratio(m, e, x, now + k, whole, limit)
        for k in range(K):
            _set(m, e, beta + k, start[k], 0)
        _set_product_sum(m, e, whole, now, beta, K, 1)
        for k in range(K):
            first[k] = _ratio(m, e, now + k, one, whole, _limit(start[k]))
        in_use(memory)
        return math.log(total) + scale * LOG_2

    return compiled_to_keep(extended_posterior, f"float64({', '.join(8 * ['int64'])})")


# Most models never need it.
extended_posterior_address = compiled_on_demand(
    "pymc_jaxdist_extended_posterior", _extended_posterior
)
