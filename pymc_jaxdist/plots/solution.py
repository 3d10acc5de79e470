"""Ribbons of the solution of a differential equation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_jaxdist.plots.appearance import open_frame, shape_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_solution"]


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
    """Draw ribbons of posterior draws of a solution, one panel for each channel.

    Parameters
    ----------
    solution : array_like or xarray.DataArray, shape (..., T) or (..., T, D)
        Draws, as ``predict`` returns them; leading dimensions, such as chains and draws, are
        summarised by quantiles. A DataArray whose last dimension is ``time`` has one channel.
    times : array_like, shape (T,), optional
        By default the ``time`` coordinate of `solution` if it has one, else 0, 1, ..., T - 1.
    observed : array_like, shape (S,) or (S, D), optional
        Data to draw as points.
    observed_times : array_like, shape (S,), optional
        Their times; by default `times`.
    names : sequence of str, length D, optional
        Titles of the panels.
    probs : sequence of float
        Probabilities of the central intervals drawn as ribbons.
    xlabel, ylabel, color : str
        Labels and colour.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : ndarray of matplotlib.axes.Axes, shape (D,)

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(0).normal(size=(100, 20, 2)).cumsum(axis=1)
    >>> figure, axes = plot_solution(draws, names=["hare", "lynx"])
    >>> [panel.get_title(loc="left") for panel in axes]
    ['hare', 'lynx']
    """
    import matplotlib.pyplot as plt

    dims = list(getattr(solution, "dims", ()))
    if times is None and "time" in dims and "time" in solution.coords:
        times = solution.coords["time"].values
    draws = np.asarray(solution, dtype=float)
    one_channel = dims[-1] == "time" if dims else draws.ndim < 3
    draws = draws[..., None] if one_channel else draws
    n_times, n_channels = draws.shape[-2:]
    draws = draws.reshape(-1, n_times, n_channels)
    x = np.arange(n_times) if times is None else np.asarray(times)
    if x.shape != (n_times,):
        raise shape_error(
            "plot_solution", "times must be as long as the solution.", x.shape, (n_times,)
        )
    figure, grid = plt.subplots(
        1,
        n_channels,
        sharex=True,
        squeeze=False,
        figsize=(3.6 * n_channels + 0.6, 3.0),
        layout="constrained",
    )
    panels = grid[0]
    points = None
    if observed is not None:
        points = np.ma.filled(np.ma.asarray(observed).astype(float), np.nan)
        points = points[:, None] if points.ndim == 1 else points
    for channel, panel in enumerate(panels):
        for prob in sorted(probs, reverse=True):
            low, high = np.nanquantile(
                draws[..., channel], [0.5 - prob / 2, 0.5 + prob / 2], axis=0
            )
            panel.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0)
        panel.plot(x, np.nanmedian(draws[..., channel], axis=0), color=color, linewidth=1.2)
        if points is not None and channel < points.shape[1]:
            where = x if observed_times is None else np.asarray(observed_times)
            panel.plot(where, points[:, channel], "o", color="0.2", markersize=3)
        if names is not None:
            panel.set_title(names[channel], loc="left", fontsize="medium")
        panel.set_xlabel(xlabel)
    open_frame(*panels)
    panels[0].set_ylabel(ylabel)
    return figure, panels
