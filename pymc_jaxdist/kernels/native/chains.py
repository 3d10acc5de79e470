"""Hidden Markov chains on eight lanes: the posterior and the log-likelihood of each sequence."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import cfunc, types

from pymc_jaxdist.kernels.native import foreign_function as ffi
from pymc_jaxdist.kernels.native.addresses import floats, integers
from pymc_jaxdist.kernels.native.compilation import (
    called_by_symbol,
    called_from_compiled,
    fingerprint,
    inlined,
)
from pymc_jaxdist.kernels.native.extended import extended_posterior
from pymc_jaxdist.kernels.native.lanes import add_pairs, backward, forward, new_lanes, pair_sums
from pymc_jaxdist.kernels.native.status import EXACT, IMPOSSIBLE, UNDECIDED
from pymc_jaxdist.kernels.native.stretches import begin_stretches, join_stretches
from pymc_jaxdist.kernels.native.vectors import LANES

__all__ = ["posterior_function", "posterior_handler"]

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
def _leading_valid(matrix, begin, most, square):
    """Count the valid matrices before the first that is not, at most so many."""
    count = 0
    while count < most and _valid(matrix, begin + count * square, begin + (count + 1) * square):
        count += 1
    return count


@called_from_compiled
def _copy_out(series, lane, steps, size, out, begin):
    """Copy one lane of a series, of which a step has `size` numbers."""
    for i in range(steps * size):
        out[begin + i] = series[i * LANES + lane]


@called_from_compiled
def _pairs_of_lane(lanes, lane, steps, states, pairs, begin):
    """Write the expected transitions of one lane, laid out like its transition matrices."""
    for at in range((steps - 1) * states):
        i = at * LANES + lane
        ahead = (at // states + 1) * states * LANES + lane
        for j in range(states):
            product = lanes.filtered[i] * lanes.emission[ahead + j * LANES]
            pairs[begin + at * states + j] = product


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
    offsets,
    largest_ratio,
    log_likelihood,
    status,
    posterior,
    first,
    pairs,
    before,
    evidence,
):
    """Fill the arrays from `log_likelihood` on; all are flat. See `posterior_function`."""
    square = states * states
    constant = matrices == 1
    series_of_pairs = not constant and pairs.size > 0
    stride = 0 if constant else square
    few = constant and sequences < FEW_SEQUENCES and states <= MAX_STATES_OF_STRETCHES
    shortest = times
    for n in range(sequences):
        shortest = min(shortest, lengths[n])
    stretches = few and shortest >= LONG_SEQUENCE
    lanes = new_lanes(times // LANES + LANES if stretches else times, states)
    sums = np.empty(square * LANES)
    valid_matrices = 0
    if not own_matrix:
        valid_matrices = _leading_valid(transition_matrix, 0, matrices, square)
    for begin in range(0, sequences, 1 if few else LANES):
        filled = 1 if few else min(LANES, sequences - begin)
        one = order[begin]
        own_offset = one * square if own_matrix else 0
        if stretches:
            stretches = begin_stretches(
                lanes,
                log_likelihoods,
                offsets[one],
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
                lanes.starts[i] = offsets[n]
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
        elif series_of_pairs and shared:
            add_pairs(lanes, steps, states, pairs)
        if stretches:
            join_stretches(lanes, transition_matrix, own_offset, states, sums)
        for i in range(filled):
            n = order[begin + i]
            used = lengths[n]
            row = n * states if own_start else 0
            matrix = lanes.matrices[i]
            passed = 1 if constant else max(used - 1, 0)
            if own_matrix:
                valid_matrices = _leading_valid(transition_matrix, matrix, passed, square)
            possible = (
                lanes.sum_of_emissions[i] < np.inf
                and _valid(initial_probs, row, row + states)
                and passed <= valid_matrices
            )
            if not possible:
                used, status[n], log_likelihood[n] = 0, IMPOSSIBLE, -np.inf
            elif lanes.sum_of_ratios[i] <= largest_ratio:
                status[n], log_likelihood[n] = EXACT, lanes.log_likelihood[i]
            elif constant:
                # The states are written here, pairs and first begin as 0.
                log_likelihood[n] = extended_posterior(
                    log_likelihoods,
                    offsets[n],
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
            for j in range(offsets[n] + used * states, offsets[n + 1]):
                posterior[j] = 0.0
            if used > 0 and lanes.sum_of_ratios[i] <= largest_ratio:
                _copy_out(lanes.emission, i, 1, states, first, n * states)
                if constant:
                    _copy_out(sums, i, 1, square, pairs, n * square)
                elif series_of_pairs:
                    if own_matrix:
                        _pairs_of_lane(lanes, i, used, states, pairs, matrix)
                else:
                    _copy_out(lanes.filtered, i, used, states, before, offsets[n])
                    _copy_out(lanes.emission, i, used, states, evidence, offsets[n])


@inlined
def _zeros(address, size):
    array = floats(address, size)
    for i in range(size):
        array[i] = 0.0
    return array


def _compile(function: Any, signature: Any) -> Any:
    try:
        return cfunc(signature, nopython=True, cache=True)(function)
    except RuntimeError:
        # There is no place on this machine where compiled code could be kept.
        return cfunc(signature, nopython=True)(function)


# Numbers of sequences, times, states, initial distributions and matrices in time; addresses of the
# six arguments that are arrays; the largest ratio; addresses of the seven results.
_SIGNATURE = f"int64({11 * 'int64, '}float64{7 * ', int64'})"


@lru_cache
def posterior_function(unrolled: int, own_matrix: bool) -> types.ExternalFunction:
    """Compile the posterior of hidden Markov chains as a function of addresses.

    It is told where the log-likelihoods of each sequence begin and where those of the last end,
    so that they may be padded or not.

    Parameters
    ----------
    unrolled : int
        The number of states for which loops are unrolled; 0 serves any number.
    own_matrix : bool
        Whether each sequence has its own transition matrix. That is decided here because a
        branch inside the recursions costs more than the arithmetic.

    Returns
    -------
    numba.types.ExternalFunction
        For code that Numba compiles. It returns 0. Of matrices that vary in time it gives either
        the expected transitions, laid out like the matrices and summed over the sequences that
        share them, or two factors of those of each sequence; the other addresses are 0.
    """
    sources = fingerprint()

    def posterior_of_addresses(
        N,
        T,
        K,
        starts,
        matrices,
        log_likelihoods,
        initial_probs,
        transition_matrix,
        order,
        lengths,
        offsets,
        largest_ratio,
        log_likelihood,
        status,
        posterior,
        first,
        pairs,
        before,
        evidence,
    ):
        # The fingerprint is never 0; it is here to be part of what Numba keeps on disk.
        if sources == 0:
            return 1
        if unrolled:
            K = np.int64(unrolled)
        constant = matrices == 1
        chains = N if own_matrix else 1
        # Of each sequence, or of each matrix.
        pairs_of = N if constant else chains * matrices
        begins = integers(offsets, N + 1)
        _posterior(
            N,
            T,
            K,
            starts > 1,
            own_matrix,
            matrices,
            floats(log_likelihoods, begins[N]),
            floats(initial_probs, starts * K),
            floats(transition_matrix, chains * matrices * K * K),
            integers(order, N),
            integers(lengths, N),
            begins,
            largest_ratio,
            floats(log_likelihood, N),
            floats(status, N),
            floats(posterior, begins[N]),
            _zeros(first, N * K),
            _zeros(pairs, pairs_of * K * K if pairs != 0 else 0),
            _zeros(before, N * T * K if before != 0 else 0),
            _zeros(evidence, N * T * K if before != 0 else 0),
        )
        return 0

    # Code that is kept on disk finds the function by this name.
    name = f"pymc_jaxdist_posterior_{unrolled}_{own_matrix}_{sources}"
    compiled = _compile(posterior_of_addresses, _SIGNATURE)
    return called_by_symbol(name, _SIGNATURE, compiled.address)


@lru_cache
def posterior_handler(unrolled: int, own_matrix: bool) -> Any:
    """Compile `posterior_function` as a handler for XLA.

    Parameters
    ----------
    unrolled, own_matrix
        As for `posterior_function`.

    Returns
    -------
    numba cfunc
    """
    posterior = posterior_function(unrolled, own_matrix)

    def handler(frame):
        if ffi.answered_query(frame):
            return 0
        matrices = ffi.length(frame, 2, 1)
        pairs = 4 if matrices == 1 else -1
        before, evidence = (-1, -1) if matrices == 1 else (4, 5)
        return posterior(
            ffi.length(frame, 0, 0),
            ffi.length(frame, 0, 1),
            ffi.length(frame, 0, 2),
            ffi.length(frame, 1, 0),
            matrices,
            ffi.argument(frame, 0),
            ffi.argument(frame, 1),
            ffi.argument(frame, 2),
            ffi.argument(frame, 3),
            ffi.argument(frame, 4),
            ffi.argument(frame, 5),
            floats(ffi.argument(frame, 6), 1)[0],
            ffi.result(frame, 0),
            ffi.result(frame, 1),
            ffi.result(frame, 2),
            ffi.result(frame, 3),
            ffi.result(frame, pairs),
            ffi.result(frame, before),
            ffi.result(frame, evidence),
        )

    return _compile(handler, types.int64(types.int64))
