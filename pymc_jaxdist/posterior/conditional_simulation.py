r"""Missing values of an autoregression, drawn given what is there before and after them.

Along a path of the states an autoregression with normal innovations is a Gaussian Markov random
field: each innovation is a linear function of p + 1 successive values, so the precision matrix of
the missing ones, given the others, is banded. Its Cholesky factor gives mean and draw in time
proportional to their number.
"""

import numpy as np

__all__ = ["draw_missing_values", "have_a_distribution"]


def have_a_distribution(present: np.ndarray, order: int) -> np.ndarray:
    """Tell which values of a series ``(T,)`` are there, or follow from those before them.

    Parameters
    ----------
    present : (T,) array of bool
        Which values were observed.
    order : int
        p. The first p values are conditioned on: if one of them is missing, neither it nor the
        missing ones that depend on it have a distribution.

    Examples
    --------
    >>> have_a_distribution(np.array([False, True, False, True]), 1).tolist()
    [False, True, True, True]
    >>> have_a_distribution(np.array([False, True, False, True]), 2).tolist()
    [False, True, False, True]
    """
    known = np.array(present)
    for t in range(order, len(known)):
        known[t] |= known[t - order : t].all()
    return known


def draw_missing_values(
    random: np.random.Generator,
    series: np.ndarray,
    coefficients: np.ndarray,
    mean: np.ndarray,
    location: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
    r"""Draw the missing values of one series along each of S paths.

    .. math::

        y_t - \mu_t = \sum_{l=1}^p \phi_{t l} (y_{t-l} - \mu_{t-l}) + e_t, \qquad
        e_t \sim \mathrm{N}(m_t, s_t^2)

    Parameters
    ----------
    random : numpy.random.Generator
    series : (T,) array
        NaN are missing.
    coefficients : (S, T, p) array
        :math:`\phi` along the paths.
    mean, location, scale : (S, T) array
        :math:`\mu`, m and s along the paths.

    Returns
    -------
    (S, T) array
        Complete series; NaN where a missing value has no distribution.

    References
    ----------
    Rue, H. and Held, L. (2005). Gaussian Markov Random Fields: Theory and Applications. Chapman &
    Hall/CRC, sections 2.2.4 and 2.4.

    Examples
    --------
    Half-way between its neighbours, without uncertainty worth mentioning:

    >>> zeros = np.zeros((1, 3))
    >>> slope, scale = np.ones((1, 3, 1)), np.full((1, 3), 1e-9)
    >>> y = np.array([1.0, np.nan, 2.0])
    >>> random = np.random.default_rng(0)
    >>> draw_missing_values(random, y, slope, zeros, zeros, scale).round(3).tolist()
    [[1.0, 1.5, 2.0]]
    """
    n_draws, n_times, order = coefficients.shape
    complete = np.broadcast_to(series, (n_draws, n_times)).copy()
    known = have_a_distribution(~np.isnan(series), order)
    missing = known & np.isnan(series)
    at = np.flatnonzero(missing)
    if not len(at):
        return complete
    number = np.cumsum(missing) - 1
    # Innovations that depend on a missing value, and on none without a distribution.
    lags = np.arange(order + 1)
    window = np.arange(order, n_times)[:, None] - lags
    rows = np.arange(order, n_times)[known[window].all(axis=1) & missing[window].any(axis=1)]
    weight = np.concatenate([np.ones((n_draws, n_times, 1)), -coefficients], axis=-1)[:, rows]
    before = rows[:, None] - lags
    observed = np.where(missing, 0.0, np.nan_to_num(series))
    # Innovations with zeros in the place of what is missing.
    residual = np.sum(weight * (observed - mean)[:, before], axis=-1) - location[:, rows]

    bandwidth = min(order, len(at) - 1)
    precision = np.zeros(((bandwidth + 1) * len(at), n_draws))
    linear = np.zeros((len(at), n_draws))
    inverse = 1 / scale[:, rows] ** 2
    for i in lags:
        own = missing[before[:, i]]
        pull = -weight[:, own, i] * residual[:, own] * inverse[:, own]
        np.add.at(linear, number[before[own, i]], pull.T)
        for j in lags[: i + 1]:  # a later value: the lower triangle
            both = own & missing[before[:, j]]
            column = number[before[both, i]]
            offset = number[before[both, j]] - column
            product = weight[:, both, i] * weight[:, both, j] * inverse[:, both]
            np.add.at(precision, offset * len(at) + column, product.T)
    bands = precision.T.reshape(n_draws, bandwidth + 1, len(at))
    noise = random.standard_normal((n_draws, len(at)))
    for draw in range(n_draws):
        complete[draw, at] = _draw(bands[draw], linear[:, draw], noise[draw])
    return complete


def _draw(precision: np.ndarray, linear: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Solve Q x = b for the mean and add L'^-1 z, with Q = L L' and z standard normal."""
    # Half of what the package takes to import.
    from scipy.linalg import cholesky_banded, solve_banded

    lower = cholesky_banded(precision, lower=True)
    bandwidth = len(lower) - 1
    upper = np.zeros_like(lower)
    for k in range(bandwidth + 1):
        upper[bandwidth - k, k:] = lower[k, : lower.shape[1] - k]
    halfway = solve_banded((bandwidth, 0), lower, linear)
    drawn: np.ndarray = solve_banded((0, bandwidth), upper, halfway + noise)
    return drawn
