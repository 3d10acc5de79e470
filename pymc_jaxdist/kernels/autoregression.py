"""Emissions that depend on the observations before them: residuals of an autoregression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.kernels.emission import Emission

__all__ = ["AutoRegressiveEmission"]


@dataclass(frozen=True)
class AutoRegressiveEmission:
    r"""The emission log-density of one channel whose values depend on those before.

    .. math::

        y_t - \mu_{z_t} = \sum_{l=1}^p \phi_{z_t l} (y_{t-l} - \mu_{z_{t-l}}) + e_t, \qquad
        e_t \mid z_t = k \sim f_k

    Without means every :math:`\mu` is zero. With means that differ between states the density
    depends on the present and the last p states: the result has one column for each history
    :math:`(z_{t-p}, \dots, z_t)`, the present state changing fastest.

    Parameters
    ----------
    innovation : Emission
        The density of :math:`e_t`, without an axis of its own for the states: it is evaluated at
        a residual for each of them.
    order : int
        p.
    mean_given : bool
        Whether there are means.
    remembers_states : bool
        Whether the means differ between states.
    has_start : bool
        Whether a last parameter, which only random draws read, is to be ignored.
    n_states : int or None
        K, if a parameter tells it.
    """

    innovation: Emission
    order: int
    mean_given: bool
    remembers_states: bool
    has_start: bool
    n_states: int | None

    event_ndim = 0
    discrete = False

    @property
    def n_parameters(self) -> int:
        """Number of parameters: of the innovations, coefficients, means, and what is ignored."""
        return self.innovation.n_parameters + 1 + self.mean_given + self.has_start

    def log_likelihoods(
        self, value: jax.Array, parameters: tuple[jax.Array, ...], may_be_missing: bool
    ) -> jax.Array:
        """Evaluate the log-density of every observation under every state, or history of states.

        Parameters
        ----------
        value : (..., T) array
            Observations; NaN marks missing ones.
        parameters : tuple of array
            Of the innovations, broadcasting against ``(..., T, K)``; coefficients ``(..., T, K,
            p)``; and means ``(..., T, K)`` if there are.
        may_be_missing : bool
            Whether NaN means missing. If not, NaN is an impossible observation.

        Returns
        -------
        (..., T, K or 1 or K**(p + 1)) array
            0 where the observation or one of the p before it is missing or before the first:
            such observations are conditioned on.
        """

        def log_density(residuals: jax.Array, own: tuple[jax.Array, ...]) -> jax.Array:
            return self.innovation.log_likelihoods(residuals, own, may_be_missing=False)

        log_likelihoods = self.of_residuals(log_density, value, parameters)
        log_likelihoods = jnp.where(self.scored(value)[..., None], log_likelihoods, 0.0)
        if may_be_missing:
            return log_likelihoods
        return jnp.where(jnp.isnan(value)[..., None], -jnp.inf, log_likelihoods)

    def scored(self, value: jax.Array) -> jax.Array:
        """Tell which observations ``(..., T)`` have a density: those whose p predecessors exist."""
        present = ~jnp.isnan(value)
        return jnp.all(jnp.stack([_lag(present, n) for n in range(self.order + 1)]), axis=0)

    def of_residuals(
        self, function: Callable[..., Any], value: jax.Array, parameters: tuple[jax.Array, ...]
    ) -> jax.Array:
        """Evaluate a function of the residuals and the parameters of the innovations.

        Parameters
        ----------
        function : callable
            ``(residuals, parameters)`` to an array of the shape of the residuals.
        value, parameters
            As for `log_likelihoods`.

        Returns
        -------
        (..., T, K or 1 or K**(p + 1)) array
        """
        n_innovation = self.innovation.n_parameters
        own = tuple(parameters[:n_innovation])
        coefficients = jnp.atleast_2d(parameters[n_innovation])
        filled = jnp.where(jnp.isnan(value), 0.0, value)
        lagged = [_lag(filled, n)[..., None] for n in range(self.order + 1)]
        if not self.mean_given:
            past = sum(coefficients[..., n - 1] * lagged[n] for n in range(1, self.order + 1))
            return function(self._for_each_state(lagged[0] - past), own)
        mean = jnp.atleast_2d(parameters[n_innovation + 1])
        means = [
            mean if mean.shape[-2] == 1 else _lag(mean, n, axis=-2) for n in range(len(lagged))
        ]
        deviations = [y - m for y, m in zip(lagged, means, strict=True)]
        if not self.remembers_states:
            past = sum(coefficients[..., n - 1] * deviations[n] for n in range(1, self.order + 1))
            return function(self._for_each_state(deviations[0] - past), own)
        return self._of_histories(function, deviations, coefficients, own)

    def _for_each_state(self, residuals: jax.Array) -> jax.Array:
        """Repeat residuals that states share, since innovations need not broadcast."""
        if self.n_states is None:
            return residuals
        return jnp.broadcast_to(residuals, (*residuals.shape[:-1], self.n_states))

    def _of_histories(
        self,
        function: Callable[..., Any],
        deviations: list[jax.Array],
        coefficients: jax.Array,
        own: tuple[jax.Array, ...],
    ) -> jax.Array:
        """Evaluate a function of the residuals under every history of the last states."""
        n_states = deviations[0].shape[-1]
        pasts = np.array(list(product(range(n_states), repeat=self.order)))
        past: jax.Array | float = 0.0
        for n in range(1, self.order + 1):
            # The oldest state comes first, and (..., T, pasts, 1) meets (..., T, 1, K).
            of_pasts = deviations[n][..., pasts[:, self.order - n]][..., None]
            past = past + coefficients[..., None, :, n - 1] * of_pasts
        residuals = deviations[0][..., None, :] - past
        # In front, so that parameters of the innovations still broadcast against (..., T, K).
        values = function(jnp.moveaxis(residuals, -2, 0), own)
        values = jnp.moveaxis(values, 0, -2)
        return values.reshape(*values.shape[:-2], -1)


def _lag(series: jax.Array, steps: int, axis: int = -1) -> jax.Array:
    """Move a series to later times; zeros come before its beginning."""
    if steps == 0:
        return series
    axis = axis % series.ndim
    length = series.shape[axis]
    before = [(steps if i == axis else 0, 0) for i in range(series.ndim)]
    padded = jnp.pad(series, before)
    return jnp.take(padded, np.arange(length), axis=axis)
