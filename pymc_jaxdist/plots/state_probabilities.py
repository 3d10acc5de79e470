"""A series with the probabilities of its hidden states."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_jaxdist.errors import ShapeError
from pymc_jaxdist.plots.appearance import open_frame, shape_error, state_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_state_probabilities"]


def plot_state_probabilities(
    observed: ArrayLike,
    probs: Any,
    times: ArrayLike | None = None,
    *,
    path: ArrayLike | None = None,
    state_names: Sequence[str] | None = None,
    state_levels: ArrayLike | None = None,
    xlabel: str | None = None,
    ylabel: str = "observed",
    title: str | None = None,
    colormap: str = "viridis_r",
    axes: "Sequence[Axes] | None" = None,
) -> "tuple[Figure, NDArray[Any]]":
    """Draw a series and, under it, the probability of each hidden state at each time.

    The upper panel shows the observed values, each in the colour of its most probable state. The
    lower panel stacks the probabilities of all states, which sum to 1.

    Parameters
    ----------
    observed : array_like, shape (T,)
        The series. Missing values (NaN or masked) are left out of the upper panel.
    probs : array_like or xarray.DataArray, shape (..., T, K)
        Probability of each state at each time, as ``decode_states`` returns it. Leading
        dimensions, such as chains and draws, are averaged.
    times : array_like, shape (T,), optional
        Increasing times or dates. By default the coordinate of the time dimension of `probs` if it
        has one, else 0, 1, ..., T - 1.
    path : array_like of int, shape (T,), optional
        A state path, such as the most frequent Viterbi path. Drawn as a strip above the
        probabilities; -1 is left blank.
    state_names : sequence of str, length K, optional
        By default the coordinate of the state dimension of `probs` if it has one, else
        ``state 0``, ``state 1``, ...
    state_levels : array_like, shape (K,), optional
        A typical value of the series in each state, such as the posterior mean rates. The mean
        level at each time, weighted by the probabilities, is drawn as a line through the series.
    xlabel : str, optional
        By default the name of the time dimension of `probs`, if it has one.
    ylabel : str, default "observed"
        Label of the upper panel.
    title : str, optional
        Title of the picture.
    colormap : str, default "viridis_r"
        matplotlib colour map from which the state colours are taken, in order.
    axes : pair of matplotlib.axes.Axes, optional
        Upper and lower panel to draw into. By default a new figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : ndarray of matplotlib.axes.Axes, shape (2,)
        Upper and lower panel.

    Examples
    --------
    >>> import numpy as np
    >>> observed = np.array([3, 4, 11, 12])
    >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.0, 1.0]])
    >>> figure, (upper, lower) = plot_state_probabilities(observed, probs, ylabel="visits")
    >>> upper.get_ylabel(), lower.get_ylabel()
    ('visits', 'probability')

    With a fitted model (not run here)::

        states = pmj.decode_states(idata, "counts", kind="smoothed")
        figure, axes = plot_state_probabilities(counts, states)
        figure.savefig("counts.png", dpi=200)
    """
    import matplotlib.pyplot as plt

    times, state_names, xlabel = _labels(probs, times, state_names, xlabel)
    series, mean_probs, x = _checked(observed, probs, times)
    n_times, n_states = mean_probs.shape
    names = [f"state {k}" for k in range(n_states)] if state_names is None else list(state_names)
    if len(names) != n_states:
        raise _shape_error("state_names must name every state.", len(names), n_states, "probs")
    colors = state_colors(n_states, colormap)

    if axes is None:
        figure, panels = plt.subplots(
            2,
            1,
            sharex=True,
            figsize=(7.2, 4.4),
            height_ratios=(3, 2),
            layout="constrained",
        )
    else:
        panels = np.asarray(axes)
        figure = panels[0].figure
    upper, lower = panels

    upper.plot(x, series, color="0.75", linewidth=0.8, zorder=1)
    if state_levels is not None:
        levels = np.asarray(state_levels, dtype=float)
        if levels.shape != (n_states,):
            raise _shape_error(
                "state_levels must give one value per state.", levels.shape, (n_states,), "probs"
            )
        edges, mean_level = _steps(x, mean_probs @ levels)
        upper.plot(edges, mean_level, color="0.25", linewidth=1.2, label="mean level", zorder=2)
    most_probable = mean_probs.argmax(axis=1)
    upper.scatter(
        x,
        series,
        c=colors[most_probable],
        s=float(np.clip(2000 / n_times, 4, 22)),
        edgecolors="white",
        linewidths=0.4,
        zorder=3,
    )
    upper.set_ylabel(ylabel)
    if title is not None:
        upper.set_title(title, loc="left", fontsize="medium")

    edges, heights = _steps(x, mean_probs)
    lower.stackplot(edges, heights.T, colors=colors, labels=names, linewidth=0)
    top = 1.0
    if path is not None:
        top = _draw_path(lower, x, np.asarray(path), colors)
    lower.set_ylim(0, top)
    lower.set_xlim(edges[0], edges[-1])
    lower.set_yticks([0, 0.5, 1], ["0", "½", "1"])
    lower.set_ylabel("probability")
    if xlabel is not None:
        lower.set_xlabel(xlabel)
    handles = [*lower.get_legend_handles_labels()[0], *upper.get_legend_handles_labels()[0]]
    upper.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=min(len(handles), 7),
        frameon=False,
        fontsize="small",
        handlelength=1.2,
        borderpad=0,
    )
    figure.align_ylabels(panels)
    open_frame(*panels)
    return figure, panels


def _draw_path(
    panel: "Axes", x: NDArray[Any], path: NDArray[Any], colors: NDArray[np.float64]
) -> float:
    """Draw a strip of states above the probabilities; return where it ends."""
    if path.shape != x.shape:
        raise _shape_error("path must give one state per time.", path.shape, x.shape, "probs")
    bottom, top = 1.05, 1.15
    edges, states = _steps(x, path.astype(float))
    for k, color in enumerate(colors):
        panel.fill_between(edges, bottom, top, where=states == k, color=color, linewidth=0)
    return top


def _labels(
    probs: Any,
    times: ArrayLike | None,
    state_names: Sequence[str] | None,
    xlabel: str | None,
) -> tuple[ArrayLike | None, Sequence[str] | None, str | None]:
    """Take what the caller left open from the coordinates of a DataArray."""
    if not hasattr(probs, "dims"):
        return times, state_names, xlabel
    time_dim, state_dim = probs.dims[-2:]
    if xlabel is None:
        xlabel = str(time_dim)
    if times is None and time_dim in probs.coords:
        times = probs.coords[time_dim].values
    if state_names is None and state_dim in probs.coords:
        labels = probs.coords[state_dim].values
        if labels.dtype.kind in "UO":
            state_names = [str(label) for label in labels]
    return times, state_names, xlabel


def _checked(
    observed: ArrayLike, probs: Any, times: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Return the series (T,), the averaged probabilities (T, K) and the times (T,)."""
    series = np.ma.filled(np.ma.asarray(observed).astype(float), np.nan)
    probabilities = np.asarray(probs, dtype=float)
    if probabilities.ndim < 2:
        raise _shape_error(
            "probs must have a time and a state dimension.", probabilities.shape, "(..., T, K)"
        )
    mean_probs = probabilities.reshape(-1, *probabilities.shape[-2:]).mean(axis=0)
    n_times = mean_probs.shape[0]
    if series.shape != (n_times,):
        raise _shape_error(
            "observed must be one series as long as probs.", series.shape, (n_times,), "probs"
        )
    x = np.arange(n_times) if times is None else np.asarray(times)
    if x.shape != (n_times,):
        raise _shape_error("times must be as long as probs.", x.shape, (n_times,), "probs")
    return series, mean_probs, x


def _shape_error(problem: str, got: object, expected: object, because: str = "") -> ShapeError:
    reason = f"  because of the shape of {because}" if because else ""
    return shape_error("plot_state_probabilities", problem, got, f"{expected}{reason}")


def _steps(
    x: NDArray[Any], values: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the corners of a step function which changes half-way between the times.

    A discrete chain has no probabilities between two times, so straight lines between them would
    show values that do not exist. The first and the last step are as wide as their neighbours.
    """
    if x.size == 1:
        half = np.timedelta64(12, "h") if x.dtype.kind == "M" else 0.5
        boundaries = np.array([x[0] - half, x[0] + half])
    else:
        half_steps = np.diff(x) / 2
        middles = x[:-1] + half_steps
        boundaries = np.concatenate([[x[0] - half_steps[0]], middles, [x[-1] + half_steps[-1]]])
    edges = np.repeat(boundaries, 2)[1:-1]
    return edges, np.repeat(values, 2, axis=0)
