"""Sums, maxima and the like over few numbers, written out.

XLA keeps room for the operands of every reduction that stands in a program, and prepares it at each
call, whether the reduction is reached or not: half a microsecond for each, where a whole solution
of a differential equation takes ten. A sum that is written out has no such room.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import jax
from jax import lax

if TYPE_CHECKING:  # at run time it imports Pallas, a quarter of what importing the package takes
    from jax.extend.core import ClosedJaxpr

__all__ = ["with_short_reductions_written_out"]

# What is longer than this is worth the half microsecond, and what is larger is seldom called.
LONGEST, LARGEST = 64, 4096
FEW = 8

_OPERATIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "reduce_and": lax.bitwise_and,
    "reduce_max": lax.max,
    "reduce_min": lax.min,
    "reduce_or": lax.bitwise_or,
    "reduce_prod": lax.mul,
    "reduce_sum": lax.add,
}


def with_short_reductions_written_out(closed: ClosedJaxpr) -> ClosedJaxpr:
    """Return a traced function that gives the same but for rounding.

    Parameters
    ----------
    closed : ClosedJaxpr
        What `jax.make_jaxpr` returns. Loops and functions that it calls are looked into.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> closed = jax.make_jaxpr(lambda x: jnp.sum(x, axis=0))(jnp.ones((3, 2)))
    >>> "reduce_sum" in str(with_short_reductions_written_out(closed))
    False
    """
    from jax.extend.core import ClosedJaxpr

    jaxpr = closed.jaxpr
    equations = [_rewritten(equation) for equation in jaxpr.eqns]
    if all(new is old for new, old in zip(equations, jaxpr.eqns, strict=True)):
        return closed
    return ClosedJaxpr(jaxpr.replace(eqns=equations), closed.consts)


def _rewritten(equation: Any) -> Any:
    from jax.extend.core import ClosedJaxpr

    operation = _OPERATIONS.get(equation.primitive.name)
    if operation is not None:
        return _written_out(equation, operation)
    changed = {}
    for name, value in equation.params.items():
        if isinstance(value, ClosedJaxpr):
            new: Any = with_short_reductions_written_out(value)
        elif type(value) is tuple and any(isinstance(x, ClosedJaxpr) for x in value):
            new = tuple(with_short_reductions_written_out(x) for x in value)
        else:
            continue
        changed[name] = new
    return equation.replace(params={**equation.params, **changed}) if changed else equation


def _written_out(equation: Any, operation: Callable[..., jax.Array]) -> Any:
    x, axes = equation.invars[0].aval, tuple(equation.params["axes"])
    length = prod(x.shape[axis] for axis in axes)
    if not 0 < length <= LONGEST or x.size > LARGEST:
        return equation
    call = _call_of_reduction(operation, x.shape, x.dtype, axes)
    return equation.replace(primitive=call.primitive, params=call.params)


@lru_cache(maxsize=256)
def _call_of_reduction(
    operation: Callable[..., jax.Array], shape: tuple[int, ...], dtype: Any, axes: tuple[int, ...]
) -> Any:
    """Return the equation in which a reduction is called."""
    kept = tuple(axis for axis in range(len(shape)) if axis not in axes)
    kept_shape = tuple(shape[axis] for axis in kept)
    length = prod(shape[axis] for axis in axes)

    @jax.jit
    def reduction(x: jax.Array) -> jax.Array:
        rows = lax.reshape(lax.transpose(x, (*axes, *kept)), (length, *kept_shape))
        return lax.reshape(_reduced(operation, rows), kept_shape)

    return jax.make_jaxpr(reduction)(jax.ShapeDtypeStruct(shape, dtype)).eqns[0]


def _reduced(operation: Callable[..., jax.Array], rows: jax.Array) -> jax.Array:
    """Return the reduction ``(1, ...)`` of rows ``(n, ...)``.

    By pairs while there are many; a few one after another, as XLA does it.
    """
    n = rows.shape[0]
    if n > FEW:
        half = n // 2
        first, second = (lax.slice_in_dim(rows, i * half, (i + 1) * half) for i in (0, 1))
        result = _reduced(operation, operation(first, second))
        return operation(result, lax.slice_in_dim(rows, n - 1, n)) if n % 2 else result
    result, *others = (lax.slice_in_dim(rows, i, i + 1) for i in range(n))
    for row in others:
        result = operation(result, row)
    return result
