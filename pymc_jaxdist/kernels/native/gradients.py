"""The log-likelihood of hidden Markov chains and its gradients, for code that Numba compiles."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

from pymc_jaxdist.kernels.native.addresses import floats, in_use
from pymc_jaxdist.kernels.native.chains import posterior_function, set_zero
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


@called_from_compiled
def _sum_groups(numbers, groups, size, own, sums):
    """Add up groups of so many numbers; copy them if each has its own sum."""
    set_zero(sums, 0, groups * size if own else size)
    for n in range(groups):
        for i in range(size):
            sums[n * size + i if own else i] += numbers[n * size + i]


@lru_cache
def compiled_gradients(
    states: int, own_start: bool, own_matrix: bool, constant: bool, padded: bool
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
    padded : bool
        Whether the sequences are padded to one length.

    Returns
    -------
    callable
        ``(log_likelihoods, initial_probs (N, K) or (K,), transition_matrix (N, T - 1 or 1, K, K),
        (T - 1, K, K) or (K, K), order (N,), lengths (N,))`` to the log-likelihoods ``(N,)`` of the
        sequences and the gradients by the first three. ``log_likelihoods`` of the observations are
        ``(N, T, K)`` if they are padded. If not, those of all sequences are in a row, of any number
        of axes: ``(L + T) * K`` numbers, L being the sum of the lengths; the last T are never used,
        but read (if there are several sequences: one needs no more than ``L * K``).
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
        longest = 0
        for n in range(N):
            longest = max(longest, lengths[n])
        T = log_likelihoods.shape[1] if padded else longest
        matrices = 1 if constant else transition_matrix.shape[-3]
        offsets = np.empty(N + 1, dtype=np.int64)
        offsets[0] = 0
        for n in range(N):
            offsets[n + 1] = offsets[n] + K * (T if padded else lengths[n])
        log_likelihood, status, first = np.empty(N), np.empty(N), np.empty((N, K))
        of_evidence = np.empty_like(log_likelihoods)
        set_zero(floats(of_evidence.ctypes.data), offsets[N], of_evidence.size)
        of_start, of_matrix = np.empty_like(initial_probs), np.empty_like(transition_matrix)
        pairs = np.empty(N * K * K if constant else 0)
        posterior(
            N,
            T,
            K,
            N if own_start else 1,
            matrices,
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
            pairs.ctypes.data if constant else of_matrix.ctypes.data,
            0,
            0,
        )
        start, matrix = initial_probs.ctypes.data, transition_matrix.ctypes.data
        proper = _stochastic(floats(start), initial_probs.size // K, K)
        proper &= _stochastic(floats(matrix), transition_matrix.size // K, K)
        for n in range(N):
            if not proper or status[n] == UNDECIDED:
                log_likelihood[n] = np.nan
        _sum_groups(floats(first.ctypes.data), N, K, own_start, floats(of_start.ctypes.data))
        if constant:
            sums = floats(of_matrix.ctypes.data)
            _sum_groups(floats(pairs.ctypes.data), N, K * K, own_matrix, sums)
        in_use(log_likelihoods, initial_probs, transition_matrix, order, lengths)
        in_use(offsets, status, first, pairs)
        return log_likelihood, of_evidence, of_start, of_matrix

    compiled: Callable[..., Any] = hidden_markov_gradients
    return compiled
