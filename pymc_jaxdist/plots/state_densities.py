"""State-dependent densities over the histogram of the data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_jaxdist.plots.appearance import open_frame, shape_error, state_colors, state_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_state_densities"]


def plot_state_densities(
    observed: ArrayLike,
    densities: Any,
    grid: ArrayLike,
    probs: Any,
    *,
    discrete: bool = False,
    state_names: Sequence[str] | None = None,
    xlabel: str = "observed",
    bins: int | str | Sequence[float] = "auto",
    interval: float = 0.9,
    colormap: str = "viridis_r",
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Draw what each state emits over the histogram of all observations.

    Each density is weighted by the share of time spent in its state, so that they add up to the
    density of the data.

    Parameters
    ----------
    observed : array_like
        Observations, of any shape; NaN are left out.
    densities : array_like or xarray.DataArray, shape (..., G, K)
        Density of each state at the points of `grid`. Leading dimensions (chains, draws) become
        bands of uncertainty.
    grid : array_like, shape (G,)
        Values at which the densities were computed.
    probs : array_like or xarray.DataArray, shape (..., K)
        Share of each state, such as the ``fraction`` of ``state_occupancy``; leading dimensions
        are averaged.
    discrete : bool, default False
        Whether observations are counts: bars at integers instead of a histogram.
    state_names : sequence of str, length K, optional
        By default the coordinate of the last dimension of `densities` or `probs`.
    xlabel : str, default "observed"
        Label of the axis.
    bins : int, str or sequence, default "auto"
        Bins of the histogram, as matplotlib takes them.
    interval : float, default 0.9
        Share of the draws within each band.
    colormap : str, default "viridis_r"
        matplotlib colour map of the states.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If `densities`, `grid` and `probs` do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import stats
    >>> grid = np.linspace(-3, 8, 50)
    >>> densities = stats.norm.pdf(grid[:, None], [0.0, 5.0], 1.0)
    >>> figure, ax = plot_state_densities([0.1, -0.2, 5.3], densities, grid, [0.6, 0.4])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['state 0', 'state 1', 'all states']
    """
    import matplotlib.pyplot as plt

    where = "plot_state_densities"
    values = np.asarray(densities, dtype=float)
    points = np.asarray(grid, dtype=float)
    if values.ndim < 2 or points.shape != values.shape[-2:-1]:
        raise shape_error(
            where, "densities must be (..., G, K) on a grid (G,).", values.shape, points.shape
        )
    values = values.reshape(-1, *values.shape[-2:])
    n_states = values.shape[-1]
    share = np.asarray(probs, dtype=float)
    if share.shape[-1:] != (n_states,):
        raise shape_error(where, "probs must give one share per state.", share.shape, (n_states,))
    share = share.reshape(-1, n_states).mean(axis=0)
    dim = densities.dims[-1] if hasattr(densities, "dims") else None
    names = state_labels(densities, dim, n_states, state_names, where)
    series: NDArray[np.float64] = np.ma.filled(np.ma.asarray(observed, dtype=float), np.nan).ravel()
    series = series[~np.isnan(series)]
    colors = state_colors(n_states, colormap)

    if ax is None:
        figure, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    else:
        figure = ax.figure
    if discrete:
        counts, frequencies = np.unique(series, return_counts=True)
        ax.bar(counts, frequencies / len(series), width=0.8, color="0.85")
    else:
        ax.hist(series, bins=bins, density=True, color="0.88", edgecolor="white", linewidth=0.5)
    tail = 50 * (1 - interval)
    marker = "o" if discrete else None
    for k in range(n_states):
        own = share[k] * values[..., k]
        ax.plot(points, own.mean(axis=0), color=colors[k], label=names[k], marker=marker, ms=3)
        if len(own) > 1:
            low, high = np.percentile(own, [tail, 100 - tail], axis=0)
            ax.fill_between(points, low, high, color=colors[k], alpha=0.25, linewidth=0)
    total = (values * share).sum(axis=-1).mean(axis=0)
    ax.plot(points, total, color="0.3", linewidth=1, linestyle="--", label="all states")
    ax.set_xlabel(xlabel)
    ax.set_ylabel("probability" if discrete else "density")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize="small")
    open_frame(ax)
    return figure, ax
