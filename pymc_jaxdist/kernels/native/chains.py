"""Hidden Markov chains on eight lanes: the posterior and the log-likelihood of each sequence."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import types

from pymc_jaxdist.kernels.native import foreign_function as ffi
from pymc_jaxdist.kernels.native.addresses import (
    address,
    asked_once,
    call,
    floats,
    in_use,
    integers,
)
from pymc_jaxdist.kernels.native.compilation import (
    called_by_symbol,
    called_from_compiled,
    compiled_to_keep,
)
from pymc_jaxdist.kernels.native.extended import extended_posterior_address
from pymc_jaxdist.kernels.native.lanes import (
    add_pairs,
    backward,
    forward,
    lanes_at,
    pair_sums,
    size_of_lanes,
)
from pymc_jaxdist.kernels.native.status import EXACT, IMPOSSIBLE, UNDECIDED
from pymc_jaxdist.kernels.native.stretches import begin_stretches_address, join_stretches_address
from pymc_jaxdist.kernels.native.vectors import LANES

__all__ = ["posterior_function", "posterior_handler", "set_zero"]

# Sequences so few and so long are cut into stretches: four or more fill half of the lanes by
# themselves, and with more states the products cost more than the lanes that stay empty.
FEW_SEQUENCES, LONG_SEQUENCE, MAX_STATES_OF_STRETCHES = 4, 256, 16


@called_from_compiled
def _leading_valid(numbers, most, size):
    """Count the blocks before the first with a number that is negative, infinite or NaN.

    Parameters
    ----------
    numbers : pointer
    most, size : int
        The number of blocks, and of numbers in each.
    """
    for i in range(most * size):
        if not 0.0 <= numbers[i] < np.inf:
            return i // size
    return most


@called_from_compiled
def _copy_out(series, lane, size, out, begin):
    """Copy one lane of so many numbers."""
    for i in range(size):
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


@called_from_compiled
def set_zero(numbers, begin, end):
    """Write zeros from one place to before another."""
    for i in range(begin, end):
        numbers[i] = 0.0


# Numbers of sequences, times, states, initial distributions and matrices in time; addresses of the
# six arguments that are arrays; the largest ratio; addresses of the seven results.
_SIGNATURE = f"int64({11 * 'int64, '}float64{7 * ', int64'})"


@lru_cache
def posterior_function(unrolled: int, own_matrix: bool, constant: bool) -> types.ExternalFunction:
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
    constant : bool
        Whether the transition matrices are constant in time. Here because what is not needed would
        take time to compile.

    Returns
    -------
    numba.types.ExternalFunction
        For code that Numba compiles. It returns 0. Of matrices that vary in time it gives either
        the expected transitions, laid out like the matrices and summed over the sequences that
        share them, or two factors of those of each sequence; the other addresses are 0.
    """
    stretches_address = begin_stretches_address(unrolled)

    def hidden_markov_posterior(
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
        if unrolled > 0:
            K = np.int64(unrolled)
        square = K * K
        stride = 0 if constant else square
        series_of_pairs = before == 0 and not constant
        log_likelihoods, initial_probs = floats(log_likelihoods), floats(initial_probs)
        transition_matrix = floats(transition_matrix)
        order, lengths, offsets = integers(order), integers(lengths), integers(offsets)
        log_likelihood, status = floats(log_likelihood), floats(status)
        posterior, first, pairs = floats(posterior), floats(first), floats(pairs)
        before, evidence = floats(before), floats(evidence)
        set_zero(first, 0, N * K)
        if constant:
            set_zero(pairs, 0, N * square)
        elif series_of_pairs:
            set_zero(pairs, 0, (N if own_matrix else 1) * matrices * square)
        else:
            set_zero(before, 0, N * T * K)
            set_zero(evidence, 0, N * T * K)
        few = constant and N < FEW_SEQUENCES and K <= MAX_STATES_OF_STRETCHES
        shortest = T
        for n in range(N):
            shortest = min(shortest, lengths[n])
        stretches = few and shortest >= LONG_SEQUENCE
        room = T // LANES + LANES if stretches else T
        memory, products_memory = np.empty(size_of_lanes(room, K)), np.empty(square * LANES)
        lanes, sums = lanes_at(memory.ctypes.data, room, K), floats(products_memory.ctypes.data)
        valid_matrices = 0
        if not own_matrix:
            valid_matrices = _leading_valid(transition_matrix, matrices, square)
        for begin in range(0, N, 1 if few else LANES):
            filled = 1 if few else min(LANES, N - begin)
            if stretches:
                n = order[begin]
                matrix = n * square if own_matrix else 0
                trusted = call(
                    asked_once(stretches_address),
                    (
                        address(lanes.starts, 0),
                        room,
                        address(log_likelihoods, 0),
                        offsets[n],
                        lengths[n],
                        K,
                        address(initial_probs, n * K if starts > 1 else 0),
                        address(transition_matrix, matrix),
                        address(sums, 0),
                    ),
                )
                for i in range(LANES):
                    lanes.matrices[i] = matrix
                if trusted != 1.0:
                    stretches, room = False, T
                    memory = np.empty(size_of_lanes(room, K))
                    lanes = lanes_at(memory.ctypes.data, room, K)
            if not stretches:
                for i in range(LANES):
                    n = order[min(begin + i, begin + filled - 1)]
                    lanes.starts[i] = offsets[n]
                    lanes.matrices[i] = n * matrices * square if own_matrix else 0
                    lanes.ends[i] = lengths[n] if i < filled else 0
                    row = n * K if starts > 1 else 0
                    for k in range(K):
                        lanes.predicted[k * LANES + i] = initial_probs[row + k]
                        lanes.beta[k * LANES + i] = 1.0
            steps = np.int64(1)
            for i in range(LANES):
                steps = max(steps, np.int64(lanes.ends[i]))
            forward(lanes, log_likelihoods, transition_matrix, not own_matrix, stride, steps, K)
            backward(lanes, transition_matrix, not own_matrix, stride, steps, K, posterior)
            if constant:
                pair_sums(lanes, steps, K, sums)
            elif series_of_pairs and not own_matrix:
                add_pairs(lanes, steps, K, pairs)
            if stretches:
                call(
                    asked_once(join_stretches_address),
                    (
                        address(lanes.starts, 0),
                        room,
                        K,
                        address(transition_matrix, lanes.matrices[0]),
                        address(sums, 0),
                    ),
                )
            for i in range(filled):
                n = order[begin + i]
                used = lengths[n]
                row = n * K if starts > 1 else 0
                matrix = lanes.matrices[i]
                passed = 1 if constant else max(used - 1, 0)
                if own_matrix:
                    own = floats(address(transition_matrix, matrix))
                    valid_matrices = _leading_valid(own, passed, square)
                possible = (
                    lanes.sum_of_emissions[i] < np.inf
                    and _leading_valid(floats(address(initial_probs, row)), 1, K) == 1
                    and passed <= valid_matrices
                )
                if not possible:
                    used, status[n], log_likelihood[n] = 0, IMPOSSIBLE, -np.inf
                elif lanes.sum_of_ratios[i] <= largest_ratio:
                    status[n], log_likelihood[n] = EXACT, lanes.log_likelihood[i]
                    _copy_out(lanes.emission, i, K, first, n * K)
                    if constant:
                        _copy_out(sums, i, square, pairs, n * square)
                    elif series_of_pairs:
                        if own_matrix:
                            _pairs_of_lane(lanes, i, used, K, pairs, matrix)
                    else:
                        _copy_out(lanes.filtered, i, used * K, before, offsets[n])
                        _copy_out(lanes.emission, i, used * K, evidence, offsets[n])
                elif constant:
                    log_likelihood[n] = call(
                        asked_once(extended_posterior_address),
                        (
                            address(log_likelihoods, offsets[n]),
                            address(initial_probs, row),
                            address(transition_matrix, matrix),
                            used,
                            K,
                            address(posterior, offsets[n]),
                            address(first, n * K),
                            address(pairs, n * square),
                        ),
                    )
                    status[n] = EXACT
                    if not log_likelihood[n] > -np.inf:
                        used, status[n], log_likelihood[n] = 0, IMPOSSIBLE, -np.inf
                else:
                    used, status[n], log_likelihood[n] = 0, UNDECIDED, 0.0
                for j in range(offsets[n] + used * K, offsets[n + 1]):
                    posterior[j] = 0.0
        in_use(memory, products_memory)
        return 0

    # Code that is kept on disk finds the function by this name.
    name = f"pymc_jaxdist_posterior_{unrolled}_{own_matrix}_{constant}"
    compiled = compiled_to_keep(hidden_markov_posterior, _SIGNATURE)
    return called_by_symbol(name, _SIGNATURE, compiled.address)


@lru_cache
def posterior_handler(unrolled: int, own_matrix: bool, constant: bool) -> Any:
    """Compile `posterior_function` as a handler for XLA.

    Its results are the log-likelihoods, their status, the posterior, the expected first states and
    transitions. Two factors follow where sequences share matrices that vary in time: if they have
    room for sequences, they are given and the transitions are not.

    Parameters
    ----------
    unrolled, own_matrix, constant
        As for `posterior_function`.

    Returns
    -------
    numba cfunc
    """
    posterior = posterior_function(unrolled, own_matrix, constant)
    may_be_factors = not (own_matrix or constant)
    before, evidence = (5, 6) if may_be_factors else (-1, -1)

    def handler(frame):
        if ffi.answered_query(frame):
            return 0
        factors = may_be_factors and ffi.length_of_result(frame, before, 0) > 0
        return posterior(
            ffi.length(frame, 0, 0),
            ffi.length(frame, 0, 1),
            ffi.length(frame, 0, 2),
            ffi.length(frame, 1, 0),
            ffi.length(frame, 2, 1),
            ffi.argument(frame, 0),
            ffi.argument(frame, 1),
            ffi.argument(frame, 2),
            ffi.argument(frame, 3),
            ffi.argument(frame, 4),
            ffi.argument(frame, 5),
            floats(ffi.argument(frame, 6))[0],
            ffi.result(frame, 0),
            ffi.result(frame, 1),
            ffi.result(frame, 2),
            ffi.result(frame, 3),
            ffi.result(frame, 4),
            ffi.result(frame, before) if factors else 0,
            ffi.result(frame, evidence) if factors else 0,
        )

    return compiled_to_keep(handler, "int64(int64)")
