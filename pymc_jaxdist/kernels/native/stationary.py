"""The stationary distribution of Markov chains and its derivative, for code that Numba compiles."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

from pymc_jaxdist.kernels.native.compilation import called_from_compiled

__all__ = ["compiled_pullback", "compiled_stationary_distribution"]


@called_from_compiled
def _remove_states(matrix, order, into, leaving):
    """Remove states one by one, as `stationary_distribution` explains.

    Parameters
    ----------
    matrix : (K, K) array
    order : (K,) array of int
        Result: the states in the order in which they go, last the one that stays.
    into, leaving : (K - 1, K) array
        Results: the paths into each removed state, relative to those out of it, and these.

    Returns
    -------
    bool
        Whether the stationary distribution is unique; otherwise the results mean nothing.
    """
    K = len(matrix)
    flow, present = np.empty((K, K)), np.ones(K, dtype=np.bool_)
    for i in range(K):
        for j in range(K):
            if not 0.0 <= matrix[i, j] < np.inf:
                return False
            flow[i, j] = matrix[i, j] if i != j else 0.0
    for step in range(K - 1):
        chosen, most = -1, 0.0
        for i in range(K):
            if present[i]:
                escape = 0.0
                for j in range(K):
                    escape += flow[i, j]
                if escape > most:
                    chosen, most = i, escape
        if chosen < 0:
            return False
        order[step], present[chosen] = chosen, False
        for i in range(K):
            leaving[step, i], into[step, i] = flow[chosen, i], flow[i, chosen] / most
            flow[chosen, i] = flow[i, chosen] = 0.0
        for i in range(K):
            for j in range(K):
                if i != j and present[i] and present[j]:
                    flow[i, j] += into[step, i] * leaving[step, j]
    for i in range(K):
        if present[i]:
            order[K - 1] = i
    return True


@called_from_compiled
def _put_back(order, into, probs):
    """Compute the stationary distribution from what `_remove_states` found."""
    K = len(probs)
    probs[:] = 0.0
    probs[order[K - 1]] = 1.0
    for step in range(K - 2, -1, -1):
        weight, largest = 0.0, 0.0
        for i in range(K):
            weight += probs[i] * into[step, i]
        probs[order[step]] = weight
        # Relative to the largest, since the first states put back may be very improbable.
        for i in range(K):
            largest = max(largest, probs[i])
        for i in range(K):
            probs[i] /= largest
    total = 0.0
    for i in range(K):
        total += probs[i]
    for i in range(K):
        probs[i] /= total


@called_from_compiled
def _pull_back(order, into, leaving, probs, cotangent, result):
    """Go back through `_put_back` and `_remove_states`; the diagonal is not looked at."""
    K = len(probs)
    bar, of_into, of_leaving = cotangent.copy(), np.zeros((K, K)), np.empty(K)
    mean = 0.0
    for i in range(K):
        mean += probs[i] * cotangent[i]
    for i in range(K):
        bar[i] -= mean
    for step in range(K - 1):
        of_chosen = bar[order[step]]
        for rest in range(step + 1, K):
            i = order[rest]
            of_into[step, i] = of_chosen * probs[i]
            bar[i] += of_chosen * into[step, i]
    result[:] = 0.0
    for step in range(K - 2, -1, -1):
        chosen, out, of_out = order[step], 0.0, 0.0
        for i in range(K):
            out += leaving[step, i]
            of_leaving[i] = 0.0
        for rest in range(step + 1, K):
            i = order[rest]
            for other in range(step + 1, K):
                j = order[other]
                if i != j:
                    of_into[step, i] += result[i, j] * leaving[step, j]
                    of_leaving[j] += result[i, j] * into[step, i]
            result[i, chosen] = of_into[step, i] / out
            of_out -= of_into[step, i] * into[step, i] / out
        for rest in range(step + 1, K):
            j = order[rest]
            result[chosen, j] = of_leaving[j] + of_out


@lru_cache
def compiled_stationary_distribution(own_matrix: bool) -> Callable[..., Any]:
    """Return `stationary_distribution` as a function that Numba compiles.

    Parameters
    ----------
    own_matrix : bool
        Whether there is a matrix for each of several sequences.

    Returns
    -------
    callable
        ``transition_matrix (N, 1, K, K) or (K, K)`` to probabilities ``(N, K)`` or ``(K,)``.
    """

    @njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def stationary_distribution(transition_matrix):
        K = transition_matrix.shape[-1]
        matrices = np.ascontiguousarray(transition_matrix).reshape((-1, K, K))
        probs = np.empty((len(matrices), K))
        order, into, leaving = np.empty(K, dtype=np.int64), np.empty((K, K)), np.empty((K, K))
        for n in range(len(matrices)):
            if _remove_states(matrices[n], order, into, leaving):
                _put_back(order, into, probs[n])
            else:
                probs[n] = np.nan
        return probs if own_matrix else probs[0]

    compiled: Callable[..., Any] = stationary_distribution
    return compiled


@lru_cache
def compiled_pullback() -> Callable[..., Any]:
    """Return the derivative of the stationary distribution as a function that Numba compiles.

    Returns
    -------
    callable
        ``(transition_matrix (N, 1, K, K) or (K, K), cotangent (N, K) or (K,))`` to the cotangent of
        the matrix; 0 where the stationary distribution is not unique.
    """

    @njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def pullback(transition_matrix, cotangent):
        K = transition_matrix.shape[-1]
        matrices = np.ascontiguousarray(transition_matrix).reshape((-1, K, K))
        cotangents = np.ascontiguousarray(cotangent).reshape((-1, K))
        results, probs = np.zeros(matrices.shape), np.empty(K)
        order, into, leaving = np.empty(K, dtype=np.int64), np.empty((K, K)), np.empty((K, K))
        for n in range(len(matrices)):
            if _remove_states(matrices[n], order, into, leaving):
                _put_back(order, into, probs)
                _pull_back(order, into, leaving, probs, cotangents[n], results[n])
        return results.reshape(transition_matrix.shape)

    compiled: Callable[..., Any] = pullback
    return compiled
