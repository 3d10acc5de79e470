"""Everything about observations of a differential equation that can be wrong before sampling."""

import numpy as np

from pymc_jaxdist.errors import DataError, ShapeError, compose_message

__all__ = [
    "check_observed",
    "check_observed_at_times",
    "check_present_as_a_whole",
    "check_shape_of_observed",
]


def check_observed(
    where: str, value: np.ndarray, n_times: int | None, n_batch: int, several: int
) -> None:
    """Check that observations have the dimension of the times, and channels if there are."""
    if value.ndim < n_batch + 1 + (several > 0):
        raise ShapeError(
            compose_message(
                where,
                "observed has too few dimensions.",
                got=f"shape {value.shape}",
                expected="(..., T)" if not several else f"(..., T, {several})",
            )
        )
    if n_times is not None and value.shape[n_batch] != n_times:
        raise ShapeError(
            compose_message(
                where,
                "observed must have one row for each of the times.",
                got=f"shape {value.shape}",
                expected=f"{n_times} on axis {n_batch}, because times has {n_times}",
            )
        )
    if np.isinf(value).any() if value.dtype.kind == "f" else False:
        raise DataError(
            compose_message(
                where,
                "observed must not be infinite.",
                got=f"{int(np.isinf(value).sum())} infinite values",
                suggestion="NaN marks a missing value",
            )
        )


def check_shape_of_observed(
    where: str, shape: tuple[int, ...], expected: tuple[int | None, ...], n_batch: int
) -> None:
    """Check that observations have the shape of what the likelihood says they are."""
    fits = len(shape) == len(expected) and all(
        length == other or other is None or (other == 1 and axis < n_batch)
        for axis, (length, other) in enumerate(zip(shape, expected, strict=True))
    )
    if fits:
        return
    text = ", ".join("..." if n is None else str(n) for n in expected)
    raise ShapeError(
        compose_message(
            where,
            "observed does not have the shape of the likelihood.",
            got=f"shape {shape}",
            expected=f"({text}): subjects, times, and what is observed at each time",
            suggestion="observe=..., for what is seen of the states; a likelihood that returns a "
            "tuple, for several distributions",
        )
    )


def check_observed_at_times(
    where: str, value: np.ndarray, times: np.ndarray | None, n_batch: int
) -> None:
    """Check that nothing was observed where there is no time."""
    if times is None or not np.isnan(times).any():
        return
    rows = value.shape[: n_batch + 1]
    present = ~np.isnan(value) if value.dtype.kind == "f" else np.ones(value.shape, dtype=bool)
    present = present.reshape(*rows, -1).any(axis=-1)
    untimed = present & np.broadcast_to(np.isnan(times), rows)
    if untimed.any():
        index = tuple(int(i) for i in np.argwhere(untimed)[0])
        raise DataError(
            compose_message(
                where,
                "something was observed at a time that is NaN.",
                got=f"{int(untimed.sum())} such observations, the first at index {index}",
                expected="NaN in observed wherever times are NaN",
                suggestion="pad_observations(...), which pads both",
            )
        )


def check_present_as_a_whole(where: str, value: np.ndarray, event_ndim: int) -> None:
    """Check that no observation of a vector is missing in part."""
    if not event_ndim or value.dtype.kind != "f":
        return
    axes = tuple(range(-event_ndim, 0))
    absent = np.isnan(value)
    in_part = absent.any(axis=axes) & ~absent.all(axis=axes)
    if in_part.any():
        index = tuple(int(i) for i in np.argwhere(in_part)[0])
        raise DataError(
            compose_message(
                where,
                "observations of a multivariate distribution are missing in part.",
                got=f"{int(in_part.sum())} of {in_part.size} vectors, the first at index {index}",
                expected="vectors that are present or missing (all NaN) as a whole",
                suggestion="one distribution for each component, in a tuple, if they are "
                "independent",
            )
        )
