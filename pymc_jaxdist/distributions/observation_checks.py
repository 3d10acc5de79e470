"""Whether the observations of a hidden Markov model, and what is said of them, can be right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.arguments import (
    broadcasts,
    describe,
    first_index,
    known_shape,
    known_value,
)
from pymc_jaxdist.errors import DataError, ParameterError, ShapeError, compose_message

__all__ = ["check_allowed_states", "check_lengths", "check_observed", "check_shape_of_data"]


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
                    f"first at index {first_index(partly)}",
                    suggestion="emission=(dist_1, ..., dist_D), one distribution a channel",
                )
            )
    for channel, emission in enumerate(emissions):
        column = value[..., channel] if several else value
        label = f"observed[..., {channel}]" if several else "observed"
        infinite = np.isinf(column)
        if infinite.any():
            raise DataError(
                compose_message(
                    where,
                    f"{label} must not be infinite.",
                    got=f"{column[first_index(infinite)]} at index {first_index(infinite)}",
                    suggestion="np.nan for a missing observation",
                )
            )
        broken = np.asarray((column != np.round(column)) & ~np.isnan(column))
        if emission.discrete and broken.any():
            raise DataError(
                compose_message(
                    where,
                    f"{label} must be whole numbers, because its emission is discrete.",
                    got=f"{column[first_index(broken)]} at index {first_index(broken)}",
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
    where: str, lengths: TensorVariable, n_times: int | None, batch_shape: tuple[Any, ...]
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
    if not broadcasts(shape, batch_shape):
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
    if not broadcasts(shape, sequence_shape):
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
                    got=f"none at index {first_index(~allowed_states.any(axis=-1))}",
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
                got=f"{allowed_states[first_index(outside)]} at index {first_index(outside)}",
                expected="0..K-1, or -1 for unknown"
                + (f"; K = {n_states}" if n_states is not None else ""),
            )
        )
