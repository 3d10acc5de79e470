"""`AutoRegressive`: an emission that depends on the observations before it."""

from typing import Any

import pytensor.tensor as pt

__all__ = ["AutoRegressive"]


class AutoRegressive:
    r"""Emission of a `MarginalHMM` that depends on the last p observations.

    .. math::

        y_t = \sum_{l=1}^p \phi_{z_t l} \, y_{t-l} + e_t, \qquad e_t \mid z_t = k \sim f_k

    or with ``mean``, the form of Hamilton [1]_, in which the states of the past matter as well:

    .. math::

        y_t - \mu_{z_t} = \sum_{l=1}^p \phi_{z_t l} \, (y_{t-l} - \mu_{z_{t-l}}) + e_t

    The first p observations are conditioned on, as is usual [1]_ [2]_: the log-density is that of
    the others given them. So are the p observations after a missing one.

    Parameters
    ----------
    innovations : distribution
        Unregistered continuous PyMC distribution of :math:`e_t`, with one entry per state:
        ``pm.Normal.dist(intercept, sigma)``, StudentT, ...
    coefficients : tensor_like, broadcasts against ``(..., T, K, p)``
        :math:`\phi`, the first lag first: ``(p,)`` for all states, ``(K, p)`` for each.
    mean : tensor_like, broadcasts against ``(..., T, K)``, optional
        :math:`\mu`. Means ``(K,)`` that differ between states make the chain remember p states
        more: the cost is that of :math:`K^{p+1}` states.

    Notes
    -----
    Random draws are generated recursively, from the first p observations where there are some,
    else as if all values (or with ``mean``, all deviations) before the first had been zero.

    References
    ----------
    .. [1] Hamilton, J. D. (1989). A new approach to the economic analysis of nonstationary time
       series and the business cycle. Econometrica 57(2).
    .. [2] Frühwirth-Schnatter, S. (2006). Finite Mixture and Markov Switching Models, chapter
       12. Springer.

    Examples
    --------
    Two regimes, of which one persists and one forgets:

    >>> import numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> P = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> y = np.array([0.3, 0.5, 0.4, -2.0, 1.9])
    >>> with pm.Model() as model:
    ...     phi = pm.Normal("phi", 0, 0.5, shape=(2, 1))
    ...     sigma = pm.HalfNormal("sigma", 1, shape=2)
    ...     emission = pmj.AutoRegressive(pm.Normal.dist(0, sigma), phi)
    ...     pmj.MarginalHMM("y", emission, P, observed=y)
    y
    >>> pm.draw(model["y"]).shape
    (5,)
    """

    def __init__(self, innovations: Any, coefficients: Any, *, mean: Any = None) -> None:
        self.innovations = innovations
        self.coefficients = pt.as_tensor_variable(coefficients).astype("float64")
        self.mean = None if mean is None else pt.as_tensor_variable(mean).astype("float64")
