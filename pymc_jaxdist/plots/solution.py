"""Ribbons of the solution of a differential equation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_jaxdist.plots.appearance import open_frame, shape_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_solution"]

#: Dimensions of a DataArray along which draws are summarised.
DRAWS = ("chain", "draw", "sample")
#: Panels side by side if each shows another subject, and as many as can still be read.
COLUMNS, MOST_PANELS = 4, 60


def plot_solution(
    solution: Any,
    times: ArrayLike | None = None,
    *,
    observed: ArrayLike | None = None,
    observed_times: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    probs: Sequence[float] = (0.5, 0.9),
    xlabel: str = "time",
    ylabel: str = "",
    color: str = "C0",
) -> "tuple[Figure, NDArray[Any]]":
    """Draw ribbons of posterior draws of a solution, one panel for each subject and channel.

    Parameters
    ----------
    solution : array_like or xarray.DataArray, shape (..., T) or (..., T, D)
        Draws. Of a DataArray, as ``predict`` returns them, ``chain`` and ``draw`` are summarised
        by quantiles, and every other dimension before ``time`` is one of subjects; of an array all
        leading dimensions are draws.
    times : array_like, shape (T,) or (N, T), optional
        By default the coordinate ``time`` or ``times`` of `solution` if it has one, else 0, 1,
        ..., T - 1.
    observed : array_like, shape (S,) or (S, D), per subject (N, S) or (N, S, D), optional
        Data to draw as points; NaN is left out.
    observed_times : array_like, shape (S,) or (N, S), optional
        Their times; by default `times`.
    names : sequence of str, length D, optional
        Names of the channels; by default the coordinate ``state``.
    probs : sequence of float
        Probabilities of the central intervals drawn as ribbons.
    xlabel, ylabel, color : str
        Labels and colour.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : ndarray of matplotlib.axes.Axes, shape (D,), (N,) or (N, D)
        One for each channel; one for each of N subjects if there is one channel.

    Raises
    ------
    ShapeError
        If times or data do not fit the solution, or there are too many panels to be read.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(0).normal(size=(100, 20, 2)).cumsum(axis=1)
    >>> figure, axes = plot_solution(draws, names=["hare", "lynx"])
    >>> [panel.get_title(loc="left") for panel in axes]
    ['hare', 'lynx']

    A dimension of subjects has a panel for each:

    >>> import xarray as xr
    >>> draws = xr.DataArray(
    ...     np.zeros((2, 50, 3, 20)),
    ...     dims=("chain", "draw", "patient", "time"),
    ...     coords={"patient": ["a", "b", "c"]},
    ... )
    >>> figure, axes = plot_solution(draws)
    >>> [panel.get_title(loc="left") for panel in axes]
    ['patient a', 'patient b', 'patient c']
    """
    import matplotlib.pyplot as plt

    draws, subjects, states = _arranged(solution)
    _, n_subjects, n_times, n_channels = draws.shape
    channels = states if names is None else [str(name) for name in names]
    if times is None:
        times = _known_times(solution)
    x = _of_each("times", np.arange(n_times) if times is None else times, n_subjects, n_times)
    points = None if observed is None else _points(observed, bool(subjects), n_subjects)
    if points is not None:
        there = x if observed_times is None else np.asarray(observed_times)
        there = _of_each("observed_times", there, n_subjects, points.shape[1])

    n_panels = n_subjects * n_channels
    if n_panels > MOST_PANELS:
        raise shape_error(
            "plot_solution",
            "there are too many panels.",
            f"{n_subjects} subjects of {n_channels} channels",
            f"at most {MOST_PANELS} panels",
            "solution.isel(subject=slice(12)), or whatever that dimension is called",
        )
    columns = n_channels if n_channels > 1 else min(n_subjects, COLUMNS)
    rows = -(-n_panels // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        sharex=True,
        sharey="col" if n_channels > 1 else True,
        squeeze=False,
        figsize=((3.6 if rows == 1 else 2.6) * columns + 0.6, 3.0 if rows == 1 else 2.1 * rows),
        layout="constrained",
    )
    panels = grid.ravel()[:n_panels].reshape(n_subjects, n_channels)
    for spare in grid.ravel()[n_panels:]:
        spare.set_visible(False)
    for subject in range(n_subjects):
        for channel in range(n_channels):
            panel = panels[subject, channel]
            _draw_ribbons(panel, x[subject], draws[:, subject, :, channel], probs, color)
            if points is not None and channel < points.shape[-1]:
                panel.plot(there[subject], points[subject, :, channel], "o", color="0.2", ms=3)
            title = [*subjects[subject : subject + 1], *channels[channel : channel + 1]]
            panel.set_title(", ".join(title), loc="left", fontsize="medium")
    for panel in panels.ravel()[-columns:]:
        panel.set_xlabel(xlabel)
        panel.tick_params(labelbottom=True)
    for panel in grid[:, 0]:
        panel.set_ylabel(ylabel)
    open_frame(*panels.ravel())
    if not subjects:
        return figure, panels[0]
    return figure, panels[:, 0] if n_channels == 1 else panels


class _Arranged(NamedTuple):
    """Draws ``(S, N, T, D)`` and what to call subjects and channels, as far as that is known."""

    draws: NDArray[np.float64]
    subjects: list[str]
    states: list[str]


def _arranged(solution: Any) -> _Arranged:
    """Put draws first, subjects second, channels last."""
    dims = list(getattr(solution, "dims", ()))
    if "time" not in dims:
        draws = np.asarray(solution, dtype=float)
        draws = draws[..., None] if draws.ndim < 3 else draws
        return _Arranged(draws.reshape(-1, 1, *draws.shape[-2:]), [], [])
    before = dims[: dims.index("time")]
    after = dims[dims.index("time") + 1 :]
    if len(after) > 1:
        raise shape_error(
            "plot_solution", "solution must have one dimension after time at most.",
            tuple(after), "state",
        )  # fmt: skip
    along = [d for d in before if d not in DRAWS]
    ordered = solution.transpose(*(d for d in before if d in DRAWS), *along, "time", *after)
    sizes = [solution.sizes[d] for d in along]
    n_channels = solution.sizes[after[0]] if after else 1
    draws = np.asarray(ordered, dtype=float)
    draws = draws.reshape(-1, int(np.prod(sizes, dtype=int)), solution.sizes["time"], n_channels)
    labels = [_labels(solution, d) for d in along]
    subjects = [
        ", ".join(f"{d} {label[i]}" for d, label, i in zip(along, labels, index, strict=True))
        for index in np.ndindex(*sizes)
    ]
    states = _labels(solution, after[0]) if after and after[0] in solution.coords else []
    return _Arranged(draws, subjects if along else [], [str(s) for s in states])


def _labels(solution: Any, dim: str) -> list[Any]:
    if dim in solution.coords:
        return list(solution.coords[dim].values)
    return list(range(solution.sizes[dim]))


def _known_times(solution: Any) -> NDArray[Any] | None:
    coords = getattr(solution, "coords", {})
    for name in ("time", "times"):
        if name in coords:
            values: NDArray[Any] = np.asarray(coords[name].values)
            return values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values
    return None


def _of_each(name: str, times: ArrayLike, n_subjects: int, length: int) -> NDArray[Any]:
    """Return times ``(N, T)`` of each subject."""
    times = np.asarray(times)
    if times.shape == (length,) or times.shape == (n_subjects, length):
        return np.broadcast_to(times, (n_subjects, length))
    what = "the solution" if name == "times" else "observed"
    raise shape_error(
        "plot_solution", f"{name} must be as long as {what}.", times.shape, (length,)
    )  # fmt: skip


def _points(observed: ArrayLike, per_subject: bool, n_subjects: int) -> NDArray[np.float64]:
    """Return data ``(N, S, D)``."""
    points: NDArray[np.float64] = np.ma.filled(np.ma.asarray(observed).astype(float), np.nan)
    if per_subject and (points.ndim < 2 or points.shape[0] != n_subjects):
        raise shape_error(
            "plot_solution",
            "observed must have a row for each subject.",
            points.shape,
            f"({n_subjects}, S) or ({n_subjects}, S, D)",
        )
    points = points if per_subject else points[None]
    if points.ndim not in (2, 3):
        raise shape_error(
            "plot_solution", "observed has too many dimensions.", points.shape[1:], "(S,) or (S, D)"
        )
    return points[..., None] if points.ndim == 2 else points


def _draw_ribbons(
    panel: "Axes", x: NDArray[Any], draws: NDArray[np.float64], probs: Sequence[float], color: str
) -> None:
    known = ~np.isnan(draws).all(axis=0)
    order = np.argsort(x[known], kind="stable")
    x, draws = x[known][order], draws[:, known][:, order]
    for prob in sorted(probs, reverse=True):
        low, high = np.nanquantile(draws, [0.5 - prob / 2, 0.5 + prob / 2], axis=0)
        panel.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0)
    panel.plot(x, np.nanmedian(draws, axis=0), color=color, linewidth=1.2)
