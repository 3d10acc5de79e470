"""Pictures of decoded hidden states and of solutions of differential equations.

matplotlib is imported when a picture is drawn, so the package works without it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_jaxdist.errors import ShapeError, compose_message

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_solution", "plot_state_probabilities"]

#: Ends of the colour map between which the states are spread: neither too dark nor too pale.
DARK, PALE = 0.15, 0.88


def plot_state_probabilities(
    observed: ArrayLike,
    probs: Any,
    times: ArrayLike | None = None,
    *,
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
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    times, state_names, xlabel = _labels(probs, times, state_names, xlabel)
    series, mean_probs, x = _checked(observed, probs, times)
    n_times, n_states = mean_probs.shape
    names = [f"state {k}" for k in range(n_states)] if state_names is None else list(state_names)
    if len(names) != n_states:
        raise _shape_error("state_names must name every state.", len(names), n_states, "probs")
    colors = mpl.colormaps[colormap](np.linspace(1 - PALE, 1 - DARK, n_states))

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
    lower.set_ylim(0, 1)
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
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


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
        raise ShapeError(
            compose_message(
                "plot_solution",
                "times must be as long as the solution.",
                got=x.shape,
                expected=f"({n_times},)",
            )
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
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(ylabel)
    return figure, panels


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
    return ShapeError(
        compose_message(
            "plot_state_probabilities", problem, got=got, expected=f"{expected}{reason}"
        )
    )


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
