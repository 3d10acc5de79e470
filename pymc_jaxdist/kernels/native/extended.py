r"""Forward and backward recursions of one sequence on numbers of extended range.

The twin of `pymc_jaxdist.kernels.extended`: exact where a path has probability 1e-400 and where
evidence reverses itself by thousands of nats. A number is :math:`m 2^e` with :math:`m` in
[1/2, 1) or 0. An order of magnitude slower than `pymc_jaxdist.kernels.native.lanes`, and run only
for the sequences of which that may have lost something.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np

from pymc_jaxdist.kernels.native.compilation import called_from_compiled
from pymc_jaxdist.kernels.native.exponential import INVERSE_LOG_2, LOG_2_HIGH, LOG_2_LOW

__all__ = ["extended_posterior"]

LOG_2 = math.log(2.0)
# The exponent of zero: below that of any number, far from overflow when two are added.
NEVER = -(2**60)
LARGEST = float(np.finfo(np.float64).max)
# A derivative by a positive number is at most its inverse. A million of them can be summed.
LIMIT = LARGEST / 1e6
# A derivative by zero can exceed any float; this can still be multiplied on the way to that zero.
LIMIT_AT_ZERO = math.sqrt(LARGEST)


@called_from_compiled
def _normal(mantissa, exponent):
    fraction, power = math.frexp(mantissa)
    if fraction == 0.0:
        return 0.0, NEVER
    return fraction, exponent + power


@called_from_compiled
def _exponential(x):
    if x == -np.inf:
        return 0.0, NEVER
    n = math.floor(x * INVERSE_LOG_2)
    return _normal(math.exp((x - n * LOG_2_HIGH) - n * LOG_2_LOW), int(n))


@called_from_compiled
def _product_sum(mantissas, exponents, begin, others, other_exponents, other, size, stride):
    """Sum ``x[begin + i] * y[other + i * stride]`` over i."""
    top = NEVER
    for i in range(size):
        if mantissas[begin + i] > 0.0 and others[other + i * stride] > 0.0:
            top = max(top, exponents[begin + i] + other_exponents[other + i * stride])
    if top == NEVER:
        return 0.0, NEVER
    total = 0.0
    for i in range(size):
        factor = mantissas[begin + i] * others[other + i * stride]
        if factor > 0.0:
            power = exponents[begin + i] + other_exponents[other + i * stride] - top
            total += math.ldexp(factor, max(power, -2000))
    return _normal(total, top)


@called_from_compiled
def _ratio(mantissa, exponent, divisor, divisor_exponent, limit):
    """Divide, as an ordinary number of at most `limit`."""
    if mantissa == 0.0:
        return 0.0
    power = max(exponent - divisor_exponent, -2000)
    return limit if power > 1022 else min(limit, math.ldexp(mantissa / divisor, power))


@called_from_compiled
def _split(numbers, begin, size, mantissas, exponents):
    for i in range(size):
        mantissas[i], exponents[i] = _normal(numbers[begin + i], 0)


@called_from_compiled
def _limit(x):
    return LIMIT if x > 0.0 else LIMIT_AT_ZERO


@called_from_compiled
def extended_posterior(
    log_likelihoods,
    at,
    initial_probs,
    start,
    transition_matrix,
    matrix,
    steps,
    states,
    posterior,
    first,
    first_at,
    pairs,
    pairs_at,
):
    """Fill the posterior of one sequence, whose transition matrix is constant in time.

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix : array, flat
    at, start, matrix : int
        Where in them the sequence begins.
    steps, states : int
    posterior, first, pairs : array, flat
        Get the results, at `at`, `first_at` and `pairs_at`. Not written if impossible.

    Returns
    -------
    float
        The log-likelihood; -inf exactly if no path is possible.
    """
    K = states
    p, p_exponent = np.empty(K * K), np.empty(K * K, np.int64)
    f, f_exponent = np.empty(steps * K), np.empty(steps * K, np.int64)
    e, e_exponent = np.empty(steps * K), np.empty(steps * K, np.int64)
    now, now_exponent = np.empty(K), np.empty(K, np.int64)
    beta, beta_exponent = np.empty(K), np.empty(K, np.int64)
    _split(transition_matrix, matrix, K * K, p, p_exponent)
    _split(initial_probs, start, K, now, now_exponent)
    scale = 0
    for t in range(steps):
        row = t * K
        top = NEVER
        for j in range(K):
            e[row + j], e_exponent[row + j] = _exponential(log_likelihoods[at + row + j])
            f[row + j], f_exponent[row + j] = _normal(
                now[j] * e[row + j], now_exponent[j] + e_exponent[row + j]
            )
            top = max(top, f_exponent[row + j])
        if top == NEVER:
            return -np.inf
        scale += top
        for j in range(K):
            if f[row + j] > 0.0:
                f_exponent[row + j] -= top
        if t < steps - 1:
            for j in range(K):
                now[j], now_exponent[j] = _product_sum(f, f_exponent, row, p, p_exponent, j, K, K)
    total = 0.0
    for k in range(K):
        total += math.ldexp(f[(steps - 1) * K + k], max(f_exponent[(steps - 1) * K + k], -2000))
    for k in range(K):
        beta[k], beta_exponent[k] = 0.5, 1
    for t in range(steps - 1, -1, -1):
        row = t * K
        whole, whole_exponent = _product_sum(f, f_exponent, row, beta, beta_exponent, 0, K, 1)
        top = NEVER
        for k in range(K):
            posterior[at + row + k] = _ratio(
                f[row + k] * beta[k],
                f_exponent[row + k] + beta_exponent[k],
                whole,
                whole_exponent,
                1.0,
            )
            now[k], now_exponent[k] = _normal(
                e[row + k] * beta[k], e_exponent[row + k] + beta_exponent[k]
            )
            top = max(top, now_exponent[k])
        for k in range(K):
            if now[k] > 0.0:
                now_exponent[k] -= top
        if t == 0:
            break
        for i in range(K):
            beta[i], beta_exponent[i] = _product_sum(
                now, now_exponent, 0, p, p_exponent, i * K, K, 1
            )
        whole, whole_exponent = _product_sum(f, f_exponent, row - K, beta, beta_exponent, 0, K, 1)
        for i in range(K):
            for j in range(K):
                pairs[pairs_at + i * K + j] += _ratio(
                    f[row - K + i] * now[j],
                    f_exponent[row - K + i] + now_exponent[j],
                    whole,
                    whole_exponent,
                    _limit(p[i * K + j]),
                )
    _split(initial_probs, start, K, beta, beta_exponent)
    whole, whole_exponent = _product_sum(now, now_exponent, 0, beta, beta_exponent, 0, K, 1)
    for k in range(K):
        first[first_at + k] = _ratio(
            now[k], now_exponent[k], whole, whole_exponent, _limit(beta[k])
        )
    return math.log(total) + scale * LOG_2
