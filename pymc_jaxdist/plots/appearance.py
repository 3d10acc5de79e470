"""What all pictures share: the colours of the states, the look of an axis, errors of shape."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pymc_jaxdist.errors import ShapeError, compose_message

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["open_frame", "shape_error", "state_colors", "state_labels"]

#: Ends of the colour map between which the states are spread: neither too dark nor too pale.
DARK, PALE = 0.15, 0.8


def state_colors(n_states: int, colormap: str = "viridis_r") -> NDArray[np.float64]:
    """Return one colour ``(K, 4)`` per state, in order.

    Parameters
    ----------
    n_states : int
        K.
    colormap : str
        matplotlib colour map.

    Returns
    -------
    array ``(K, 4)``
    """
    import matplotlib as mpl

    colors: NDArray[np.float64] = mpl.colormaps[colormap](np.linspace(1 - PALE, 1 - DARK, n_states))
    return colors


def state_labels(
    array: Any, dim: str | None, n_states: int, state_names: Sequence[str] | None, where: str
) -> list[str]:
    """Name the states: as given, as in the coordinates of an array, or by number.

    Parameters
    ----------
    array : array_like or xarray.DataArray
        What may have coordinates.
    dim : str or None
        Its dimension that counts the states.
    n_states : int
        K.
    state_names : sequence of str or None
        Names that go first.
    where : str
        The function, for error messages.

    Returns
    -------
    list of str
    """
    if state_names is not None:
        if len(state_names) != n_states:
            raise shape_error(
                where, "state_names must name every state.", len(state_names), n_states
            )
        return list(state_names)
    if dim is not None and dim in getattr(array, "coords", {}):
        labels = array.coords[dim].values
        if labels.dtype.kind in "UO":
            return [str(label) for label in labels]
    return [f"state {k}" for k in range(n_states)]


def open_frame(*panels: "Axes") -> None:
    """Leave out the upper and the right line around each panel."""
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)


def shape_error(
    where: str, problem: str, got: object, expected: object, suggestion: str | None = None
) -> ShapeError:
    """Return an error about the shape of an argument."""
    return ShapeError(
        compose_message(where, problem, got=got, expected=expected, suggestion=suggestion)
    )
