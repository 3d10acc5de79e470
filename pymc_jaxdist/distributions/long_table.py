"""Measurements in a long table, one row each, as padded arrays."""

from typing import Any, NamedTuple

import numpy as np

from pymc_jaxdist.errors import DataError, ShapeError, compose_message

__all__ = ["PaddedObservations", "pad_observations"]


class PaddedObservations(NamedTuple):
    """What `pad_observations` returns.

    Attributes
    ----------
    times : (N, T) ndarray
        Times of each subject, increasing; NaN beyond the last.
    observed : (N, T) or (N, T, D) ndarray
        Values; NaN where there is none.
    subjects : (N,) ndarray
        Labels of the subjects.
    channels : (D,) ndarray or None
        Labels of the channels.
    """

    times: np.ndarray
    observed: np.ndarray
    subjects: np.ndarray
    channels: np.ndarray | None


def pad_observations(
    subject: Any, time: Any, value: Any, channel: Any = None
) -> PaddedObservations:
    """Turn columns of a long table into the arrays that `ODEObserved` takes.

    Parameters
    ----------
    subject, time, value : (R,) array_like
        Columns of the table: whose measurement, when, and what.
    channel : (R,) array_like, optional
        Which quantity was measured.

    Returns
    -------
    PaddedObservations
        ``times`` and ``observed`` for `ODEObserved`, and the labels. Values of several channels
        at one time share a row; a channel measured twice at one time gets rows of its own.

    Examples
    --------
    >>> padded = pad_observations(["a", "a", "b"], [1.0, 2.0, 0.5], [10.0, 20.0, 30.0])
    >>> padded.times
    array([[1. , 2. ],
           [0.5, nan]])
    >>> padded.observed
    array([[10., 20.],
           [30., nan]])
    """
    columns = [np.atleast_1d(x) for x in (subject, time, value)]
    n_rows = len(columns[0])
    labels = np.zeros(n_rows, dtype=int) if channel is None else np.asarray(channel)
    if {x.shape for x in (*columns, labels)} != {(n_rows,)}:
        raise ShapeError(
            compose_message(
                "pad_observations",
                "the columns must have the same length.",
                got=", ".join(str(x.shape) for x in (*columns, labels)),
            )
        )
    columns[1:] = [_as_floats(*x) for x in zip(("time", "value"), columns[1:], strict=True)]
    if not np.isfinite(columns[1]).all():
        raise DataError(
            compose_message(
                "pad_observations",
                "times must be finite.",
                got=f"{int((~np.isfinite(columns[1])).sum())} NaN or infinite times",
                suggestion="leave out rows without a time",
            )
        )
    subjects, own = np.unique(columns[0], return_inverse=True)
    channels, column = np.unique(labels, return_inverse=True)
    time, value = columns[1:]
    rows: list[dict[tuple[float, int], dict[int, float]]] = [{} for _ in subjects]
    for i in np.lexsort((time, own)):
        repetition = 0
        while column[i] in rows[own[i]].setdefault((time[i], repetition), {}):
            repetition += 1
        rows[own[i]][time[i], repetition][int(column[i])] = value[i]
    longest = max(map(len, rows), default=0)
    times = np.full((len(subjects), longest), np.nan)
    observed = np.full((len(subjects), longest, len(channels)), np.nan)
    for n, of_subject in enumerate(rows):
        for position, (key, values) in enumerate(of_subject.items()):
            times[n, position] = key[0]
            for k, x in values.items():
                observed[n, position, k] = x
    if channel is None:
        return PaddedObservations(times, observed[..., 0], subjects, None)
    return PaddedObservations(times, observed, subjects, channels)


def _as_floats(name: str, column: np.ndarray) -> np.ndarray:
    try:
        return column.astype("float64")
    except (TypeError, ValueError) as error:
        raise DataError(
            compose_message(
                "pad_observations",
                f"{name} must be numbers.",
                got=str(error),
                suggestion="NaN for what is missing; pm.Censored, for what is below a limit",
            )
        ) from None
