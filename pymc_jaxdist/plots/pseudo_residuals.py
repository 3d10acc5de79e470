"""Whether the residuals of a model are independent and normal."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pymc_jaxdist.plots.appearance import open_frame, shape_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_pseudo_residuals"]


def plot_pseudo_residuals(
    residuals: Any, *, n_lags: int = 20, title: str | None = None, axes: Any = None
) -> "tuple[Figure, NDArray[Any]]":
    """Draw the quantiles of pseudo-residuals against the normal, and their autocorrelation.

    If the model is true, the points lie on the line and the bars within the band.

    Parameters
    ----------
    residuals : array_like or xarray.DataArray, shape (..., T)
        What ``pseudo_residuals`` returns for one series. Of several posterior draws, quantiles
        and autocorrelations are averaged. NaN are left out.
    n_lags : int, default 20
        Largest lag of the autocorrelation.
    title : str, optional
        Title of the picture.
    axes : pair of matplotlib.axes.Axes, optional
        Panels to draw into. By default a new figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : ndarray of matplotlib.axes.Axes, shape (2,)

    Raises
    ------
    ShapeError
        If there are fewer than three residuals.

    Examples
    --------
    >>> import numpy as np
    >>> residuals = np.random.default_rng(0).normal(size=(4, 100))
    >>> figure, (quantiles, correlation) = plot_pseudo_residuals(residuals, n_lags=5)
    >>> correlation.get_xlabel()
    'lag'
    """
    import matplotlib.pyplot as plt

    values = np.asarray(residuals, dtype=float)
    values = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
    present = ~np.isnan(values).any(axis=0)
    n = int(present.sum())
    if n < 3:
        raise shape_error(
            "plot_pseudo_residuals", "there must be residuals to draw.", values.shape, "(..., T)"
        )
    if axes is None:
        figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.2), layout="constrained")
    else:
        panels = np.asarray(axes)
        figure = panels[0].figure
    quantiles, correlation = panels

    ordered = np.sort(values[:, present], axis=1)
    expected = ndtri((np.arange(n) + 0.5) / n)
    low, high = np.percentile(ordered, [5, 95], axis=0)
    limits = 1.1 * max(np.abs(expected).max(), np.abs(low).max(), np.abs(high).max())
    quantiles.plot([-limits, limits], [-limits, limits], color="0.7", linewidth=1)
    if len(ordered) > 1:
        quantiles.fill_between(expected, low, high, color="C0", alpha=0.25, linewidth=0)
    quantiles.plot(expected, ordered.mean(axis=0), "o", color="C0", markersize=2.5)
    quantiles.set(xlim=(-limits, limits), ylim=(-limits, limits))
    quantiles.set_xlabel("normal quantile")
    quantiles.set_ylabel("pseudo-residual")

    lags = list(range(1, min(n_lags, values.shape[-1] - 2) + 1))
    bars = [_autocorrelation(values, lag) for lag in lags]
    band = ndtri(0.975) / np.sqrt(n)
    correlation.axhspan(-band, band, color="0.92", linewidth=0)
    correlation.axhline(0, color="0.5", linewidth=0.8)
    correlation.vlines(lags, 0, bars, color="C0", linewidth=2)
    largest = max(0.3, 1.2 * np.nanmax(np.abs(bars)))
    correlation.set_ylim(-largest, largest)
    correlation.set_xlabel("lag")
    correlation.set_ylabel("autocorrelation")
    if title is not None:
        quantiles.set_title(title, loc="left", fontsize="medium")
    open_frame(quantiles, correlation)
    return figure, panels


def _autocorrelation(values: NDArray[np.float64], lag: int) -> float:
    """Average the autocorrelation of several series, missing values left out."""
    centred = values - np.nanmean(values, axis=1, keepdims=True)
    products = np.nanmean(centred[:, lag:] * centred[:, :-lag], axis=1)
    return float(np.mean(products / np.nanvar(values, axis=1)))
