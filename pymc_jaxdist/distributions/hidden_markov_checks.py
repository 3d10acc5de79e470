"""Everything about the arguments of a hidden Markov model that can be wrong before sampling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import describe, known_shape, known_value
from pymc_jaxdist.distributions.autoregressive import AnyEmission
from pymc_jaxdist.errors import DataError, ParameterError, ShapeError, compose_message

__all__ = [
    "check_allowed_states",
    "check_emissions",
    "check_initial_probs",
    "check_lengths",
    "check_log_likelihoods",
    "check_observed",
    "check_sequences",
    "check_shape_of_data",
    "check_transition_matrix",
]

# Tighter than any rounding a person types (0.333), looser than single precision data.
ROW_SUM_TOLERANCE = 1e-6

_LAYOUTS = {
    "emission": "parameters (N, 1, K) with an axis of length 1 in the place of time",
    "transition_matrix": "(N, 1, K, K) with an axis of length 1 in the place of time",
    "initial_probs": "(N, K) or (K,)",
}


def check_transition_matrix(
    where: str,
    transition_matrix: TensorVariable,
    n_times: int | None,
    *,
    stochastic: bool = True,
    states_of: tuple[str, int] | None = None,
) -> int | None:
    """Check shape and values of a transition matrix; return the number of states if known.

    ``states_of`` names an argument that tells the number of states, for the message.
    """
    shape = known_shape(transition_matrix)
    square = len(shape) >= 2 and (shape[-1] == shape[-2] or None in shape[-2:])
    if not square or shape[-1] == 0:
        expected, k = "one row and one column for each state", "K"
        if states_of is not None:
            k = str(states_of[1])
            expected = f"({k}, {k})  because {states_of[0]} has K = {k}"
        raise ShapeError(
            compose_message(
                where,
                "transition_matrix must have shape (..., K, K).",
                got=describe(transition_matrix, shape),
                expected=expected,
                suggestion=f"pm.Dirichlet('{transition_matrix.name or 'P'}', "
                f"a=np.ones(({k}, {k})))",
            )
        )
    if len(shape) >= 3 and n_times is not None and shape[-3] not in (None, 1, n_times - 1):
        raise ShapeError(
            compose_message(
                where,
                "a transition_matrix that varies in time must have shape (..., T-1, K, K).",
                got=describe(transition_matrix, shape),
                expected=f"{max(n_times - 1, 1)} or 1 on axis -3, because T = {n_times}",
                suggestion="transition_matrix[:, None] if that axis counts sequences",
            )
        )
    _check_probabilities(where, "transition_matrix", transition_matrix, "row", stochastic)
    return shape[-1] if shape[-1] is not None else shape[-2]


def check_initial_probs(
    where: str,
    initial_probs: TensorVariable,
    transition_matrix: TensorVariable,
    n_states: int | None,
    stochastic: bool = True,
) -> None:
    """Check that initial probabilities fit the transition matrix and are probabilities."""
    shape = known_shape(initial_probs)
    if len(shape) == 0:
        raise ShapeError(
            compose_message(
                where,
                "initial_probs must have shape (..., K).",
                got=describe(initial_probs, shape),
                suggestion='initial_probs="stationary" or pm.Dirichlet("p0", a=np.ones(K))',
            )
        )
    if n_states is not None and shape[-1] not in (None, n_states):
        raise ShapeError(
            compose_message(
                where,
                "transition_matrix and initial_probs must have the same number of states.",
                got=f"initial_probs {describe(initial_probs, shape)}",
                expected=f"K = {n_states}, because transition_matrix has shape "
                f"{describe(transition_matrix)}",
            )
        )
    _check_probabilities(where, "initial_probs", initial_probs, "vector", stochastic)


def _check_probabilities(
    where: str, argument: str, variable: TensorVariable, unit: str, stochastic: bool
) -> None:
    value = known_value(variable)
    if value is None or not value.size:
        return
    if not np.isfinite(value).all():
        raise ParameterError(
            compose_message(
                where,
                f"{argument} must be finite.",
                got=f"{int((~np.isfinite(value)).sum())} entries that are NaN or infinite",
            )
        )
    if (value < 0).any():
        raise ParameterError(
            compose_message(
                where,
                f"{argument} must not be negative.",
                got=f"{value.min():.6g} at index {_first(value < 0)}",
                expected="probabilities between 0 and 1",
            )
        )
    sums = value.sum(axis=-1)
    wrong = np.abs(sums - 1) > ROW_SUM_TOLERANCE
    if stochastic and wrong.any():
        index = _first(wrong)
        raise ParameterError(
            compose_message(
                where,
                f"each {unit} of {argument} must sum to 1.",
                got=f"{sums[index]:.6g} for {unit} {index if index else ''}".rstrip(),
                suggestion=f"{argument} / {argument}.sum(axis=-1, keepdims=True)",
            )
        )


def check_emissions(
    where: str,
    emissions: Sequence[AnyEmission],
    n_states: int | None,
    n_times: int | None,
) -> None:
    """Check that emissions broadcast against ``(..., T, K)`` and channels are univariate."""
    for channel, emission in enumerate(emissions):
        argument = "emission" if len(emissions) == 1 else f"emission[{channel}]"
        if len(emissions) > 1 and emission.event_ndim:
            raise ShapeError(
                compose_message(
                    where,
                    "each of several channels must have a univariate emission.",
                    got=f"{argument} is a distribution of vectors",
                    suggestion="one multivariate emission for all channels, without a tuple",
                )
            )
        shape = emission.batch_shape
        if shape and n_states is not None and shape[-1] not in (None, 1, n_states):
            raise ShapeError(
                compose_message(
                    where,
                    f"the last batch dimension of {argument} must be the states.",
                    got=f"batch shape {shape}",
                    expected=f"{n_states} or 1 on axis -1, because transition_matrix has "
                    f"K = {n_states}",
                    suggestion="mu[:, None] if the axis counts times, mu[:, None, None] if it "
                    "counts sequences",
                )
            )
        if len(shape) > 1 and n_times is not None and shape[-2] not in (None, 1, n_times):
            raise ShapeError(
                compose_message(
                    where,
                    f"the second last batch dimension of {argument} must be the times.",
                    got=f"batch shape {shape}",
                    expected=f"{n_times} or 1 on axis -2, because T = {n_times}",
                    suggestion="mu[:, None, :] if that axis counts sequences",
                )
            )


def check_sequences(
    where: str, argument: str, leading: tuple[int | None, ...], batch: tuple[int | None, ...]
) -> None:
    """Check that the leading dimensions of a parameter broadcast to those of the sequences."""
    if not _broadcasts(leading, batch):
        raise ShapeError(
            compose_message(
                where,
                f"the leading dimensions of {argument} must be those of the sequences.",
                got=f"{leading}",
                expected=f"{batch}, those of the observations"
                if batch
                else "none, for one sequence",
                suggestion=_LAYOUTS[argument],
            )
        )


def check_agreement(where: str, leading: dict[str, tuple[int | None, ...]]) -> None:
    """Check that the leading dimensions of several arguments broadcast against one another."""
    for axis in range(1, 1 + max(map(len, leading.values()))):
        lengths = {d[-axis] for d in leading.values() if len(d) >= axis} - {None, 1}
        if len(lengths) > 1:
            raise ShapeError(
                compose_message(
                    where,
                    "the leading dimensions (the sequences) of the arguments must broadcast.",
                    got=", ".join(f"{name}: {shape}" for name, shape in leading.items()),
                    suggestion=_LAYOUTS["transition_matrix"],
                )
            )


def check_observed(where: str, value: np.ndarray, emissions: Sequence[AnyEmission]) -> None:
    """Check observations (NaN marks missing ones) against the emissions."""
    several = len(emissions) > 1
    event_ndim = 1 if several or emissions[0].event_ndim else 0
    if value.ndim < 1 + event_ndim:
        layout = "(..., T, D), D channels" if event_ndim else "(..., T)"
        raise ShapeError(
            compose_message(
                where,
                f"observed must have shape {layout}.",
                got=str(value.shape),
            )
        )
    n_channels = len(emissions) if several else (emissions[0].event_shape or (None,))[0]
    if event_ndim and n_channels is not None and value.shape[-1] != n_channels:
        raise ShapeError(
            compose_message(
                where,
                "the last dimension of observed must be the channels.",
                got=str(value.shape),
                expected=f"D = {n_channels}, because emission has {n_channels} channels",
            )
        )
    if value.shape[value.ndim - 1 - event_ndim] == 0:
        raise ShapeError(
            compose_message(
                where,
                "a sequence needs at least one observation.",
                got=f"{value.shape}, T = 0",
            )
        )
    if not several and emissions[0].event_ndim:
        absent = np.isnan(value)
        partly = absent.any(axis=-1) & ~absent.all(axis=-1)
        if partly.any():
            raise DataError(
                compose_message(
                    where,
                    "an observation of a multivariate emission must be present or missing as a "
                    "whole.",
                    got=f"{int(partly.sum())} observations with some channels missing, the "
                    f"first at index {_first(partly)}",
                    suggestion="emission=(dist_1, ..., dist_D), one distribution a channel",
                )
            )
    for channel, emission in enumerate(emissions):
        column = value[..., channel] if several else value
        label = f"observed[..., {channel}]" if several else "observed"
        if np.isinf(column).any():
            raise DataError(
                compose_message(
                    where,
                    f"{label} must not be infinite.",
                    got=f"{column[_first(np.isinf(column))]} at index {_first(np.isinf(column))}",
                    suggestion="np.nan for a missing observation",
                )
            )
        broken = np.asarray((column != np.round(column)) & ~np.isnan(column))
        if emission.discrete and broken.any():
            raise DataError(
                compose_message(
                    where,
                    f"{label} must be whole numbers, because its emission is discrete.",
                    got=f"{column[_first(broken)]} at index {_first(broken)}",
                )
            )


def check_shape_of_data(
    where: str,
    data: np.ndarray,
    shape: Any,
    steps: int | None,
    emissions: Sequence[AnyEmission],
) -> None:
    """Check that what is said of the shape does not contradict the observations."""
    event_ndim = 1 if len(emissions) > 1 else emissions[0].event_ndim
    n_times = data.shape[data.ndim - 1 - event_ndim]
    contradicts = steps is not None and steps != n_times
    if shape is not None:
        stated = tuple(shape) if isinstance(shape, Sequence) else (shape,)
        lengths = [n for n in stated if isinstance(n, int | np.integer)]
        contradicts |= len(lengths) == len(stated) and stated != data.shape
    if contradicts:
        raise ShapeError(
            compose_message(
                where,
                "shape and steps must be those of the observations.",
                got=f"shape {shape}, steps {steps}",
                expected=f"{data.shape}, T = {n_times}; neither is needed with observed",
            )
        )


def check_lengths(
    where: str, lengths: TensorVariable, n_times: int | None, batch_shape: tuple
) -> None:
    """Check lengths of ragged sequences against the shape of the observations."""
    if not lengths.type.dtype.startswith(("int", "uint")):
        raise ParameterError(
            compose_message(
                where,
                "lengths must be integers.",
                got=f"dtype {lengths.type.dtype}",
                suggestion="lengths.astype(int)",
            )
        )
    shape = known_shape(lengths)
    if not _broadcasts(shape, batch_shape):
        raise ShapeError(
            compose_message(
                where,
                "lengths must have one entry for each sequence.",
                got=describe(lengths, shape),
                expected=f"{tuple(batch_shape)}, the leading dimensions of the observations",
            )
        )
    value = known_value(lengths)
    if value is None or not value.size:
        return
    if (value < 0).any() or (n_times is not None and (value > n_times).any()):
        worst = value.min() if (value < 0).any() else value.max()
        raise ParameterError(
            compose_message(
                where,
                "lengths must lie between 0 and T.",
                got=str(worst),
                expected=f"at most T = {n_times}",
            )
        )


def check_allowed_states(
    where: str,
    allowed_states: np.ndarray,
    n_states: int | None,
    sequence_shape: tuple[int | None, ...],
) -> None:
    """Check labels (integers, -1 for unknown) or a mask of allowed states."""
    is_mask = allowed_states.dtype == bool
    shape = allowed_states.shape[:-1] if is_mask else allowed_states.shape
    if not _broadcasts(shape, sequence_shape):
        raise ShapeError(
            compose_message(
                where,
                "allowed_states must broadcast against the observations.",
                got=str(allowed_states.shape),
                expected=f"{sequence_shape} for labels, {(*sequence_shape, n_states)} for a mask",
            )
        )
    if is_mask:
        if n_states is not None and allowed_states.shape[-1:] != (n_states,):
            raise ShapeError(
                compose_message(
                    where,
                    "a mask of allowed_states must have shape (..., T, K).",
                    got=str(allowed_states.shape),
                    expected=f"K = {n_states} on the last axis",
                )
            )
        if not allowed_states.any(axis=-1).all():
            raise ParameterError(
                compose_message(
                    where,
                    "allowed_states must allow at least one state everywhere.",
                    got=f"none at index {_first(~allowed_states.any(axis=-1))}",
                )
            )
        return
    if not np.issubdtype(allowed_states.dtype, np.integer):
        raise ParameterError(
            compose_message(
                where,
                "allowed_states must be integer labels or a boolean mask.",
                got=f"dtype {allowed_states.dtype}",
                expected="labels 0..K-1 and -1 for unknown, or a mask (..., T, K)",
            )
        )
    outside = np.asarray(allowed_states < -1)
    if n_states is not None:
        outside |= allowed_states >= n_states
    if outside.any():
        raise ParameterError(
            compose_message(
                where,
                "labels in allowed_states must be states.",
                got=f"{allowed_states[_first(outside)]} at index {_first(outside)}",
                expected="0..K-1, or -1 for unknown"
                + (f"; K = {n_states}" if n_states is not None else ""),
            )
        )


def check_log_likelihoods(
    where: str, log_likelihoods: TensorVariable, n_states: int | None
) -> int | None:
    """Check emission terms ``(..., T, K)``; return T if known."""
    shape = known_shape(log_likelihoods)
    if len(shape) < 2 or (None not in (shape[-1], n_states) and shape[-1] != n_states):
        raise ShapeError(
            compose_message(
                where,
                "log_likelihoods must have shape (..., T, K).",
                got=describe(log_likelihoods, shape),
                expected=None if n_states is None else f"K = {n_states} on the last axis",
            )
        )
    if shape[-2] == 0:
        raise ShapeError(
            compose_message(where, "a sequence needs at least one observation.", got="T = 0")
        )
    return shape[-2]


def _broadcasts(shape: tuple[int | None, ...], target: tuple[int | None, ...]) -> bool:
    """Tell whether a shape may broadcast to another without adding to it."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(
        n in (None, 1) or m is None or n == m for n, m in pairs
    )


def _first(condition: Any) -> tuple[int, ...]:
    """Return the index of the first True."""
    mask = np.asarray(condition)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))
