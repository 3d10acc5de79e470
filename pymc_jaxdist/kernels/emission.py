"""Emission log-densities: every observation under every state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from pymc_jaxdist.kernels.joint_sums import with_joint_sums
from pymc_jaxdist.kernels.lazy import run_if_any

__all__ = ["Emission"]

LogDensity = Callable[..., tuple[jax.Array, ...]]


@dataclass(frozen=True)
class Emission:
    """The emission log-density of one channel.

    Parameters
    ----------
    log_density : callable
        ``(value, *parameters) -> (log_density,)`` in JAX, where ``value`` has shape
        ``(..., T, 1)`` (or ``(..., T, 1, D)`` for a multivariate emission) and the result
        broadcasts against ``(..., T, K)``. Hashable by value.
    finite_slope_log_density : callable
        The same function, differentiated with infinite derivatives counted as 0.
    n_parameters : int
        Number of parameters.
    event_ndim : int
        0 for a univariate, 1 for a multivariate emission.
    discrete : bool
        Whether the support is a set of integers.
    per_state : bool
        Whether there is an axis for the states of a Markov chain. Without it, shapes are
        ``(..., T)`` instead of ``(..., T, 1)`` and ``(..., T, K)`` throughout.
    """

    log_density: LogDensity
    finite_slope_log_density: LogDensity
    n_parameters: int
    event_ndim: int
    discrete: bool
    per_state: bool = True

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
        missing = jnp.zeros(value.shape[: value.ndim - self.event_ndim], dtype=bool)
        impossible = missing
        # Without missing values NaN needs no care: the density is then NaN too, that is
        # impossible.
        if jnp.issubdtype(value.dtype, jnp.floating) and (may_be_missing or self.discrete):
            absent = jnp.isnan(value)
            if may_be_missing:
                missing = jnp.all(absent, axis=event_axes)
            impossible = jnp.any(absent, axis=event_axes) & ~missing
            # A value of the support stands in, so that nothing undefined enters the gradient.
            value = jnp.where(
                jnp.expand_dims(missing | impossible, event_axes),
                self._first_present(value, missing | impossible),
                value,
            )
            if self.discrete:
                whole = jnp.round(value)
                impossible |= jnp.any(value != whole, axis=event_axes)
                value = whole.astype(int)
        log_density = self._differentiable_log_density(value, parameters)
        if self.per_state:
            missing, impossible = missing[..., None], impossible[..., None]
        log_density = jnp.where(missing, 0.0, log_density)
        return jnp.where(impossible, -jnp.inf, log_density)

    def _first_present(self, value: jax.Array, absent: jax.Array) -> jax.Array:
        """Return the first observation that is there, or a number many supports contain."""
        rows = value.reshape(-1, *value.shape[value.ndim - self.event_ndim :])
        is_absent = absent.reshape(-1)
        stand_in = jnp.asarray(1.0 if self.discrete else 0.5)
        if not rows.size:
            return stand_in.astype(value.dtype)
        first = rows[jnp.argmin(is_absent)]
        return jnp.where(jnp.all(is_absent), stand_in, first).astype(value.dtype)

    def _differentiable_log_density(
        self, value: jax.Array, parameters: tuple[jax.Array, ...]
    ) -> jax.Array:
        """Evaluate the density, with a gradient without NaN.

        Where a state cannot have emitted an observation, the log-density is ``-inf``, its
        cotangent 0, and its derivative often infinite (that of ``(a - 1) log y`` at ``y = 0``):
        the chain rule gives 0 * inf = NaN, for the whole parameter. Branches of a distribution
        that are not taken do the same. If it happened, the gradient is computed again with
        infinite derivatives counted as 0.
        """

        def spread(value: jax.Array) -> jax.Array:
            return jnp.expand_dims(value, -1 - self.event_ndim) if self.per_state else value

        def direct(value: jax.Array, *parameters: jax.Array) -> jax.Array:
            return self.log_density(spread(value), *parameters)[0]

        def with_finite_slopes(value: jax.Array, *parameters: jax.Array) -> jax.Array:
            return self.finite_slope_log_density(spread(value), *parameters)[0]

        def pullback(
            function: Callable[..., Any], arguments: tuple[Any, ...], asked: tuple[int, ...]
        ) -> tuple[Any, ...]:
            def of_asked(*moving: jax.Array) -> jax.Array:
                given = dict(zip(asked, moving, strict=True))
                return function(*(given.get(i, x) for i, x in enumerate(arguments)))

            return jax.vjp(of_asked, *(arguments[i] for i in asked))

        def forward(*arguments: Any) -> tuple[Any, ...]:
            # Only gradients that somebody asks for: not by the observations, usually.
            asked = tuple(i for i, x in enumerate(arguments) if x.perturbed)
            values = tuple(x.value for x in arguments)
            log_density, transpose = pullback(direct, values, asked)
            # The positions travel as keys, which belong to the structure and not to the arrays.
            return log_density, (transpose, values, dict.fromkeys(asked))

        def backward(residuals: tuple[Any, ...], cotangent: Any) -> tuple[Any, ...]:
            transpose, values, positions = residuals
            asked = tuple(positions)
            if isinstance(cotangent, SymbolicZero) or not asked:
                return (None,) * len(values)
            # Every sum would compute it again, though the branch below keeps it anyway.
            cotangent = jax.lax.optimization_barrier(cotangent)

            def again(_: Any) -> Any:
                finite: tuple[Any, ...] = pullback(with_finite_slopes, values, asked)[1](cotangent)
                return finite

            gradients: tuple[Any, ...] = with_joint_sums(transpose)(cotangent)
            undefined = jnp.any(jnp.stack([jnp.any(jnp.isnan(g)) for g in gradients]))
            settled = dict(zip(asked, run_if_any(undefined, again, gradients), strict=True))
            return tuple(settled.get(i) for i in range(len(values)))

        differentiable = jax.custom_vjp(direct)
        differentiable.defvjp(forward, backward, symbolic_zeros=True)
        return differentiable(value, *parameters)
