"""The log-likelihood of hidden Markov chains and its gradients, for code that Numba compiles."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

from pymc_jaxdist.kernels.native.addresses import floats, in_use
from pymc_jaxdist.kernels.native.chains import posterior_function
from pymc_jaxdist.kernels.native.compilation import called_from_compiled
from pymc_jaxdist.kernels.native.hidden_markov_posterior import MAX_UNROLLED_STATES
from pymc_jaxdist.kernels.native.status import UNDECIDED
from pymc_jaxdist.kernels.probabilities import row_sum_tolerance
from pymc_jaxdist.kernels.underflow import loss_thresholds

__all__ = ["compiled_gradients"]

_TOLERANCE = row_sum_tolerance(np.dtype("float64"))
_LARGEST_RATIO = 1 / loss_thresholds(np.dtype("float64"))[1]


@called_from_compiled
def _stochastic(numbers, rows, columns):
    """Tell whether every row of a matrix is a probability distribution."""
    proper = True
    for i in range(rows):
        total = 0.0
        for j in range(i * columns, (i + 1) * columns):
            proper &= numbers[j] >= 0
            total += numbers[j]
        proper &= abs(total - 1) <= _TOLERANCE
    return proper


@lru_cache
def compiled_gradients(
    states: int, own_start: bool, own_matrix: bool, constant: bool
) -> Callable[..., Any]:
    """Return log-likelihoods and the gradients of their sum as a function that Numba compiles.

    Parameters
    ----------
    states : int
        K.
    own_start, own_matrix : bool
        Whether each sequence has its own initial probabilities and transition matrix.
    constant : bool
        Whether the transition matrix is constant in time.

    Returns
    -------
    callable
        ``(log_likelihoods, initial_probs (N or 1, K), transition_matrix (N or 1, T - 1 or 1, K, K),
        order (N,), lengths (N,))`` to the log-likelihoods ``(N,)`` of the sequences and the
        gradients by the first three. ``log_likelihoods`` of the observations are ``(N, T, K)``, or
        ``(L + T, K)`` with those of all sequences in a row, L being the sum of their lengths; the
        last T are never used, but read (if there are several sequences: one needs no more than
        ``(L, K)``).
        ``order`` are all sequences in the order in which to compute them. The result is ``-inf``
        if a sequence is impossible, and NaN if it was not computed: where scaling may have lost
        something and the matrix varies in time, and everywhere if probabilities are no
        distributions.
    """
    unrolled = states if states <= MAX_UNROLLED_STATES else 0
    posterior = posterior_function(unrolled, own_matrix, constant)

    @njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def hidden_markov_gradients(log_likelihoods, initial_probs, transition_matrix, order, lengths):
        log_likelihoods = np.ascontiguousarray(log_likelihoods)
        initial_probs = np.ascontiguousarray(initial_probs)
        transition_matrix = np.ascontiguousarray(transition_matrix)
        order, lengths = np.ascontiguousarray(order), np.ascontiguousarray(lengths)
        N, K = len(lengths), states
        padded = log_likelihoods.ndim == 3
        longest = 0
        for n in range(N):
            longest = max(longest, lengths[n])
        T = log_likelihoods.shape[1] if padded else longest
        offsets = np.empty(N + 1, dtype=np.int64)
        offsets[0] = 0
        for n in range(N):
            offsets[n + 1] = offsets[n] + K * (T if padded else lengths[n])
        log_likelihood, status, first = np.empty(N), np.empty(N), np.empty((N, K))
        of_evidence = np.empty_like(log_likelihoods)
        if not padded:
            of_evidence[offsets[N] // K :] = 0.0
        of_start, of_matrix = np.zeros_like(initial_probs), np.zeros_like(transition_matrix)
        pairs = np.empty((N, 1, K, K)) if constant else of_matrix
        posterior(
            N,
            T,
            K,
            initial_probs.shape[0],
            transition_matrix.shape[1],
            log_likelihoods.ctypes.data,
            initial_probs.ctypes.data,
            transition_matrix.ctypes.data,
            order.ctypes.data,
            lengths.ctypes.data,
            offsets.ctypes.data,
            _LARGEST_RATIO,
            log_likelihood.ctypes.data,
            status.ctypes.data,
            of_evidence.ctypes.data,
            first.ctypes.data,
            pairs.ctypes.data,
            0,
            0,
        )
        rows = len(transition_matrix) * transition_matrix.shape[1] * K
        start, matrix = initial_probs.ctypes.data, transition_matrix.ctypes.data
        proper = _stochastic(floats(start), len(initial_probs), K)
        proper &= _stochastic(floats(matrix), rows, K)
        in_use(log_likelihoods, initial_probs, transition_matrix, order, lengths)
        in_use(offsets, status, first, pairs)
        for n in range(N):
            if not proper or status[n] == UNDECIDED:
                log_likelihood[n] = np.nan
            for i in range(states):
                of_start[n if own_start else 0, i] += first[n, i]
                if constant:
                    for j in range(states):
                        of_matrix[n if own_matrix else 0, 0, i, j] += pairs[n, 0, i, j]
        return log_likelihood, of_evidence, of_start, of_matrix

    compiled: Callable[..., Any] = hidden_markov_gradients
    return compiled
