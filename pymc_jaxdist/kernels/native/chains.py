"""Hidden Markov chains on eight lanes: the posterior and the log-likelihood of each sequence."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import cfunc, types

from pymc_jaxdist.kernels.native import foreign_function as ffi
from pymc_jaxdist.kernels.native.compilation import called_from_compiled, inlined
from pymc_jaxdist.kernels.native.extended import extended_posterior
from pymc_jaxdist.kernels.native.lanes import backward, forward, new_lanes, pair_sums
from pymc_jaxdist.kernels.native.status import EXACT, IMPOSSIBLE, UNDECIDED
from pymc_jaxdist.kernels.native.stretches import begin_stretches, join_stretches
from pymc_jaxdist.kernels.native.vectors import LANES

__all__ = ["posterior_handler"]

# Sequences so few and so long are cut into stretches: four or more fill half of the lanes by
# themselves, and with more states the products cost more than the lanes that stay empty.
FEW_SEQUENCES, LONG_SEQUENCE, MAX_STATES_OF_STRETCHES = 4, 256, 16


@called_from_compiled
def _valid(probabilities, begin, end):
    """Tell whether no number is negative, infinite or NaN."""
    valid = True
    for i in range(begin, end):
        valid &= 0.0 <= probabilities[i] < np.inf
    return valid


@called_from_compiled
def _copy_out(series, lane, steps, size, out, begin):
    """Copy one lane of a series, of which a step has `size` numbers."""
    for i in range(steps * size):
        out[begin + i] = series[i * LANES + lane]


@inlined
def _posterior(
    sequences,
    times,
    states,
    own_start,
    own_matrix,
    matrices,
    log_likelihoods,
    initial_probs,
    transition_matrix,
    order,
    lengths,
    largest_ratio,
    log_likelihood,
    status,
    posterior,
    first,
    pairs,
    before,
    evidence,
):
    """Fill the arrays from `log_likelihood` on; all are flat. See `native_posterior`."""
    series, square = times * states, states * states
    constant = matrices == 1
    stride = 0 if constant else square
    few = constant and sequences < FEW_SEQUENCES and states <= MAX_STATES_OF_STRETCHES
    shortest = times
    for n in range(sequences):
        shortest = min(shortest, lengths[n])
    stretches = few and shortest >= LONG_SEQUENCE
    lanes = new_lanes(times // LANES + LANES if stretches else times, states)
    sums = np.empty(square * LANES)
    for begin in range(0, sequences, 1 if few else LANES):
        filled = 1 if few else min(LANES, sequences - begin)
        one = order[begin]
        own_offset = one * square if own_matrix else 0
        if stretches:
            stretches = begin_stretches(
                lanes,
                log_likelihoods,
                one * series,
                lengths[one],
                initial_probs,
                one * states if own_start else 0,
                transition_matrix,
                own_offset,
                states,
                sums,
            )
            if not stretches:
                lanes = new_lanes(times, states)
        if not stretches:
            for i in range(LANES):
                n = order[min(begin + i, begin + filled - 1)]
                lanes.starts[i] = n * series
                lanes.matrices[i] = n * matrices * square if own_matrix else 0
                lanes.ends[i] = lengths[n] if i < filled else 0
                for k in range(states):
                    row = n * states if own_start else 0
                    lanes.predicted[k * LANES + i] = initial_probs[row + k]
                    lanes.beta[k * LANES + i] = 1.0
        steps = np.int64(1)
        for i in range(LANES):
            steps = max(steps, np.int64(lanes.ends[i]))
        shared = not own_matrix
        forward(lanes, log_likelihoods, transition_matrix, shared, stride, steps, states)
        backward(lanes, transition_matrix, shared, stride, steps, states, posterior)
        if constant:
            pair_sums(lanes, steps, states, sums)
        if stretches:
            join_stretches(lanes, transition_matrix, own_offset, states, sums)
        for i in range(filled):
            n = order[begin + i]
            used = lengths[n]
            row = n * states if own_start else 0
            matrix = lanes.matrices[i]
            passed = square if constant else square * max(used - 1, 0)
            possible = (
                lanes.sum_of_emissions[i] < np.inf
                and _valid(initial_probs, row, row + states)
                and _valid(transition_matrix, matrix, matrix + passed)
            )
            if not possible:
                used, status[n], log_likelihood[n] = 0, IMPOSSIBLE, -np.inf
            elif lanes.sum_of_ratios[i] <= largest_ratio:
                status[n], log_likelihood[n] = EXACT, lanes.log_likelihood[i]
            elif constant:
                # The states are written here, pairs and first begin as 0.
                log_likelihood[n] = extended_posterior(
                    log_likelihoods,
                    n * series,
                    initial_probs,
                    row,
                    transition_matrix,
                    matrix,
                    used,
                    states,
                    posterior,
                    first,
                    n * states,
                    pairs,
                    n * square,
                )
                status[n] = EXACT
                if log_likelihood[n] == -np.inf:
                    used, status[n] = 0, IMPOSSIBLE
            else:
                used, status[n], log_likelihood[n] = 0, UNDECIDED, 0.0
            for j in range(n * series + used * states, (n + 1) * series):
                posterior[j] = 0.0
            if used > 0 and lanes.sum_of_ratios[i] <= largest_ratio:
                _copy_out(lanes.emission, i, 1, states, first, n * states)
                if constant:
                    _copy_out(sums, i, 1, square, pairs, n * square)
                else:
                    _copy_out(lanes.filtered, i, used, states, before, n * series)
                    _copy_out(lanes.emission, i, used, states, evidence, n * series)


@inlined
def _zeros(frame, result, size):
    array = ffi.floats(frame, True, result, size)
    for i in range(size):
        array[i] = 0.0
    return array


def _fingerprint() -> int:
    """Give a number that changes with the source of what is compiled here.

    Numba looks at the file of a function when it decides whether what it kept on disk is still
    valid, but not at the files of the functions which that calls.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(path.read_bytes() for path in sources))


def _compile(handler: Any) -> Any:
    signature = types.int64(types.int64)
    try:
        return cfunc(signature, nopython=True, cache=True)(handler)
    except RuntimeError:
        # There is no place on this machine where compiled code could be kept.
        return cfunc(signature, nopython=True)(handler)


@lru_cache
def posterior_handler(unrolled: int, own_matrix: bool) -> Any:
    """Compile the posterior of hidden Markov chains as a handler for XLA.

    Parameters
    ----------
    unrolled : int
        The number of states for which loops are unrolled; 0 serves any number.
    own_matrix : bool
        Whether each sequence has its own transition matrix. That is decided here because a
        branch inside the recursions costs more than the arithmetic.

    Returns
    -------
    numba cfunc
    """
    fingerprint = _fingerprint()

    def handler(frame):
        # The fingerprint is never 0; it is here to be part of what Numba keeps on disk.
        if ffi.answered_query(frame) or fingerprint == 0:
            return 0
        N, T, K = ffi.length(frame, 0, 0), ffi.length(frame, 0, 1), ffi.length(frame, 0, 2)
        if unrolled:
            K = np.int64(unrolled)
        starts, chains, matrices = (
            ffi.length(frame, 1, 0),
            ffi.length(frame, 2, 0),
            ffi.length(frame, 2, 1),
        )
        constant = matrices == 1
        pairs = _zeros(frame, 4, N * K * K if constant else 0)
        before = _zeros(frame, 4, 0 if constant else N * T * K)
        evidence = _zeros(frame, 4 if constant else 5, 0 if constant else N * T * K)
        _posterior(
            N,
            T,
            K,
            starts > 1,
            own_matrix,
            matrices,
            ffi.floats(frame, False, 0, N * T * K),
            ffi.floats(frame, False, 1, starts * K),
            ffi.floats(frame, False, 2, chains * matrices * K * K),
            ffi.integers(frame, False, 3, N),
            ffi.integers(frame, False, 4, N),
            ffi.floats(frame, False, 5, 1)[0],
            ffi.floats(frame, True, 0, N),
            ffi.floats(frame, True, 1, N),
            ffi.floats(frame, True, 2, N * T * K),
            _zeros(frame, 3, N * K),
            pairs,
            before,
            evidence,
        )
        return 0

    return _compile(handler)
