"""A fan of possible futures."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_jaxdist.plots.appearance import open_frame, shape_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_forecast"]

#: Shares of the futures inside each band, wide to narrow, and how opaque it is.
BANDS = {0.95: 0.15, 0.8: 0.25, 0.5: 0.4}


def plot_forecast(
    observed: ArrayLike,
    draws: Any,
    times: ArrayLike | None = None,
    *,
    n_shown: int | None = None,
    xlabel: str | None = None,
    ylabel: str = "observed",
    color: str = "C0",
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Draw a series and bands that hold 50, 80 and 95 per cent of its forecasts.

    Parameters
    ----------
    observed : array_like, shape (T,)
        The series.
    draws : array_like or xarray.DataArray, shape (..., H)
        Forecast draws of the H steps after the last observation, such as the observations of
        ``forecast``.
    times : array_like, shape (T + H,), optional
        Times of the observations and of the forecasts. By default 0, 1, ...
    n_shown : int, optional
        How many of the last observations to show. By default all.
    xlabel, ylabel : str, optional
        Labels of the axes.
    color : str, default "C0"
        Colour of the fan.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If `observed` is not one series or `times` has another length.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(0).normal(size=(2, 500, 8)).cumsum(axis=-1)
    >>> figure, ax = plot_forecast(np.sin(np.arange(20.0)), draws)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['observed', 'median', '50 %', '80 %', '95 %']
    """
    import matplotlib.pyplot as plt

    where = "plot_forecast"
    series: NDArray[np.float64] = np.ma.filled(np.ma.asarray(observed, dtype=float), np.nan)
    if series.ndim != 1:
        raise shape_error(where, "observed must be one series.", series.shape, "(T,)")
    futures = np.asarray(draws, dtype=float)
    futures = futures.reshape(-1, futures.shape[-1])
    n_times, n_steps = len(series), futures.shape[-1]
    x = np.arange(n_times + n_steps) if times is None else np.asarray(times)
    if x.shape != (n_times + n_steps,):
        raise shape_error(
            where, "times must cover observations and forecasts.", x.shape, (n_times + n_steps,)
        )
    shown = slice(0 if n_shown is None else max(0, n_times - n_shown), n_times)
    if ax is None:
        figure, ax = plt.subplots(figsize=(7.2, 3.2), layout="constrained")
    else:
        figure = ax.figure

    ax.plot(x[shown], series[shown], color="0.3", linewidth=1, marker="o", ms=3, label="observed")
    ahead = x[n_times:]
    ax.plot(ahead, np.nanmedian(futures, axis=0), color=color, label="median")
    for share, alpha in BANDS.items():
        tail = 50 * (1 - share)
        low, high = np.nanpercentile(futures, [tail, 100 - tail], axis=0)
        label = f"{100 * share:.0f} %"
        ax.fill_between(ahead, low, high, color=color, alpha=alpha, linewidth=0, label=label)
    ax.set_ylabel(ylabel)
    if xlabel is not None:
        ax.set_xlabel(xlabel)
    handles, labels = ax.get_legend_handles_labels()
    order = [0, 1, *range(len(handles) - 1, 1, -1)]
    ax.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        frameon=False,
        fontsize="small",
        ncols=5,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderpad=0,
    )
    open_frame(ax)
    return figure, ax
