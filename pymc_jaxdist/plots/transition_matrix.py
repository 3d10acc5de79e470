"""A transition matrix with its uncertainty."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pymc_jaxdist.plots.appearance import shape_error, state_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_transition_matrix"]


def plot_transition_matrix(
    matrix: Any,
    *,
    state_names: Sequence[str] | None = None,
    interval: float = 0.9,
    colormap: str = "Blues",
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Draw a transition matrix: posterior means as colours, with intervals written in.

    Parameters
    ----------
    matrix : array_like or xarray.DataArray, shape (..., K, K)
        Transition probabilities from row to column. Leading dimensions (chains, draws) give the
        mean and the interval.
    state_names : sequence of str, length K, optional
        By default the coordinate of the rows of `matrix` if it has one.
    interval : float, default 0.9
        Share of the draws within the interval.
    colormap : str, default "Blues"
        matplotlib colour map, from probability 0 to 1.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
    ax : matplotlib.axes.Axes

    Raises
    ------
    ShapeError
        If `matrix` is not square.

    Examples
    --------
    >>> import numpy as np
    >>> figure, ax = plot_transition_matrix(np.array([[0.9, 0.1], [0.25, 0.75]]))
    >>> [text.get_text() for text in ax.texts]
    ['0.90', '0.10', '0.25', '0.75']
    """
    import matplotlib.pyplot as plt

    where = "plot_transition_matrix"
    values = np.asarray(matrix, dtype=float)
    if values.ndim < 2 or values.shape[-1] != values.shape[-2]:
        raise shape_error(where, "matrix must have shape (..., K, K).", values.shape, "(..., K, K)")
    n_states = values.shape[-1]
    dim = matrix.dims[-2] if hasattr(matrix, "dims") else None
    names = state_labels(matrix, dim, n_states, state_names, where)
    draws = values.reshape(-1, n_states, n_states)
    mean = draws.mean(axis=0)
    tail = 50 * (1 - interval)
    low, high = np.percentile(draws, [tail, 100 - tail], axis=0)

    if ax is None:
        size = 1.6 + 0.9 * n_states
        figure, ax = plt.subplots(figsize=(size + 0.6, size), layout="constrained")
    else:
        figure = ax.figure
    image = ax.imshow(mean, vmin=0, vmax=1, cmap=colormap)
    for i in range(n_states):
        for j in range(n_states):
            text = f"{mean[i, j]:.2f}"
            if len(draws) > 1:
                text += f"\n[{low[i, j]:.2f}, {high[i, j]:.2f}]"
            color = "white" if mean[i, j] > 0.6 else "black"
            ax.text(j, i, text, ha="center", va="center", color=color, fontsize="small")
    ax.set_xticks(range(n_states), names)
    ax.set_yticks(range(n_states), names)
    ax.set_xlabel("to")
    ax.set_ylabel("from")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_label("probability")
    bar.outline.set_visible(False)
    return figure, ax
