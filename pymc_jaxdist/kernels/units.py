"""Functions of one unit (row, sequence, subject) applied to all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

__all__ = ["UnitLogDensity", "UnitMap", "map_units"]


def map_units(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    core_ndims: Sequence[int],
    batch_shape: tuple[Any, ...],
) -> Any:
    """Apply a function of one unit to every unit.

    Parameters
    ----------
    function : callable
        Of arrays with the core dimensions only.
    arguments : sequence of array
        Leading dimensions broadcast against `batch_shape`; those of length 1 are shared by all
        units, without being copied for each.
    core_ndims : sequence of int
        Number of core dimensions of each argument.
    batch_shape : tuple of int
        Shape of the array of units.

    Returns
    -------
    pytree of array
        Results, with leading dimensions `batch_shape`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> map_units(jnp.dot, [jnp.ones((3, 2)), jnp.ones(2)], [1, 1], (3,)).tolist()
    [2.0, 2.0, 2.0]
    """
    n_batch = len(batch_shape)
    squeezed, moving = [], []
    for argument, core_ndim in zip(arguments, core_ndims, strict=True):
        array = jnp.asarray(argument)
        own = array.ndim - core_ndim
        shared = [axis for axis in range(own) if array.shape[axis] == 1]
        squeezed.append(jnp.squeeze(array, axis=tuple(shared)))
        moving.append({axis + n_batch - own for axis in range(own) if axis not in shared})
    for axis in reversed(range(n_batch)):
        in_axes = [0 if axis in axes else None for axes in moving]
        function = jax.vmap(function, in_axes, axis_size=batch_shape[axis])
    return function(*squeezed)


@dataclass(frozen=True)
class UnitMap:
    """`map_units` as a hashable function, over the units that the arguments broadcast to."""

    function: Callable[..., Any]
    core_ndims: tuple[int, ...]

    def __call__(self, *arguments: jax.Array) -> tuple[jax.Array, ...]:
        """Evaluate the function for each unit; the result is the only one of a tuple."""
        batch_shape = jnp.broadcast_shapes(
            *(x.shape[: x.ndim - n] for x, n in zip(arguments, self.core_ndims, strict=True))
        )
        return (jnp.asarray(map_units(self.function, arguments, self.core_ndims, batch_shape)),)

    def __str__(self) -> str:
        return str(self.function)


@dataclass(frozen=True)
class UnitLogDensity:
    """The log-density of one unit as a kernel over all of them.

    Parameters
    ----------
    log_density : callable
        ``(value, *parameters) -> scalar`` of one unit; hashable by value.
    core_ndims : tuple of int
        Core dimensions of the value, then of each parameter.
    missing : {"pass", "skip"}
        Whether a unit with NaN in its value goes to the function or has log-density 0.
    """

    log_density: Callable[..., Any]
    core_ndims: tuple[int, ...]
    missing: Literal["pass", "skip"]

    def __call__(self, value: jax.Array, *parameters: jax.Array) -> jax.Array:
        """Evaluate the log-density of each unit.

        Parameters
        ----------
        value : (..., *core) array
        *parameters : array
            Broadcast against the units of `value`.

        Returns
        -------
        (...) array
        """
        n_batch = value.ndim - self.core_ndims[0]
        absent = None
        if self.missing == "skip" and jnp.issubdtype(value.dtype, jnp.floating):
            absent = jnp.any(jnp.isnan(value), axis=tuple(range(n_batch, value.ndim)))
            # Another unit stands in, so that nothing undefined enters the gradient.
            units = value.reshape(-1, *value.shape[n_batch:])
            present = jnp.nan_to_num(units[jnp.argmin(absent.reshape(-1))], nan=1.0)
            value = jnp.where(
                jnp.expand_dims(absent, tuple(range(n_batch, value.ndim))), present, value
            )
        result = map_units(
            self.log_density, (value, *parameters), self.core_ndims, value.shape[:n_batch]
        )
        return result if absent is None else jnp.where(absent, 0.0, result)

    def __str__(self) -> str:
        return str(self.log_density)
