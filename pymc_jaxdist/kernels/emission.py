"""Emission log-densities: every observation under every state."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

__all__ = ["Emission"]


@dataclass(frozen=True)
class Emission:
    """The emission log-density of one channel.

    Parameters
    ----------
    log_density : callable
        ``(value, *parameters) -> (log_density,)`` in JAX, where ``value`` has shape
        ``(..., T, 1)`` (or ``(..., T, 1, D)`` for a multivariate emission) and the result
        broadcasts against ``(..., T, K)``. Hashable by value.
    n_parameters : int
        Number of parameters.
    event_ndim : int
        0 for a univariate, 1 for a multivariate emission.
    discrete : bool
        Whether the support is a set of integers.
    """

    log_density: Callable[..., tuple[jax.Array, ...]]
    n_parameters: int
    event_ndim: int
    discrete: bool

    def log_likelihoods(
        self, value: jax.Array, parameters: tuple[jax.Array, ...], may_be_missing: bool
    ) -> jax.Array:
        """Evaluate the log-density of every observation under every state.

        Parameters
        ----------
        value : (..., T) or (..., T, D) array
            Observations; NaN marks missing ones.
        parameters : tuple of array
            Emission parameters, broadcasting against ``(..., T, K)``.
        may_be_missing : bool
            Whether NaN means missing. If not, NaN is an impossible observation.

        Returns
        -------
        (..., T, K or 1) array
            Log-densities: 0 where the observation is missing, ``-inf`` where it is outside the
            support (for example not an integer), or only partly missing.
        """
        event_axes = tuple(range(-self.event_ndim, 0))
        state_axis = -1 - self.event_ndim
        missing = jnp.zeros(value.shape[: value.ndim - self.event_ndim], dtype=bool)
        impossible = missing
        if jnp.issubdtype(value.dtype, jnp.floating):
            absent = jnp.isnan(value)
            if may_be_missing:
                missing = jnp.all(absent, axis=event_axes)
            impossible = jnp.any(absent, axis=event_axes) & ~missing
            # A value of the support stands in, so that nothing undefined enters the gradient.
            value = jnp.where(
                jnp.expand_dims(missing | impossible, event_axes),
                _first_present(value, missing | impossible, self.event_ndim, self.discrete),
                value,
            )
            if self.discrete:
                whole = jnp.round(value)
                impossible |= jnp.any(value != whole, axis=event_axes)
                value = whole.astype(int)
        (log_density,) = self.log_density(jnp.expand_dims(value, state_axis), *parameters)
        log_density = jnp.where(missing[..., None], 0.0, log_density)
        return jnp.where(impossible[..., None], -jnp.inf, log_density)


def _first_present(
    value: jax.Array, absent: jax.Array, event_ndim: int, discrete: bool
) -> jax.Array:
    """Return the first observation that is there, or a number many supports contain."""
    rows = value.reshape(-1, *value.shape[value.ndim - event_ndim :])
    is_absent = absent.reshape(-1)
    if rows.shape[0] == 0:
        return jnp.zeros(rows.shape[1:], dtype=value.dtype)
    first = rows[jnp.argmin(is_absent)]
    return jnp.where(jnp.all(is_absent), 1.0 if discrete else 0.5, first).astype(value.dtype)
