"""Sums over all observations, taken in one pass.

The gradient of a log-density with respect to each of its parameters is a sum over observations.
XLA makes a loop of its own for each of them, which reads the same arrays again and waits for one
addition after another. Summed together they take a half to a fifth of the time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

if TYPE_CHECKING:  # at run time it imports Pallas, a quarter of what importing the package takes
    from jax.extend.core import Jaxpr, JaxprEqn, Var

__all__ = ["with_joint_sums"]

# XLA adds the terms of one sum after another, each addition waiting for the last, and it may hand
# the sums of such a loop to threads. So many sums to single numbers do neither: their additions
# run side by side. More would be a long piece of code.
MOST_SUMS_TO_A_NUMBER = 32
# From so many terms on it is faster still to add vectors of rows, though that may go to threads.
MANY_TERMS, ROWS_OF_A_VECTOR = 2**14, 8


def with_joint_sums(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function take the sums of equal shape that it consists of in one pass.

    Parameters
    ----------
    function : callable
        Of arrays, to a pytree of arrays.

    Returns
    -------
    callable
        The same function.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> moments = with_joint_sums(lambda x: (x.sum(axis=0), (x**2).sum(axis=0)))
    >>> [float(m) for m in moments(jnp.array([1.0, 2.0]))]
    [3.0, 5.0]
    """

    def joint(*arguments: jax.Array) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(closed.jaxpr, closed.consts, arguments)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return joint


def _evaluate(jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    from jax.extend.core import Literal

    values: dict[Var, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    def run(equation: JaxprEqn) -> None:
        parameters = equation.primitive.get_bind_params(equation.params)
        results = equation.primitive.bind(*map(read, equation.invars), **parameters)
        if not equation.primitive.multiple_results:
            results = [results]
        values.update(zip(equation.outvars, results, strict=True))

    sums, rest = _sort(jaxpr, run)
    for (_, _, axes), group in sums.items():
        totals = _sum_jointly(tuple(read(equation.invars[0]) for equation in group), axes)
        for equation, total in zip(group, totals, strict=True):
            result: Any = equation.outvars[0]
            values[result] = total.reshape(result.aval.shape)
    for equation in rest:
        run(equation)
    return [read(variable) for variable in jaxpr.outvars]


def _sort(
    jaxpr: Jaxpr, run: Callable[[JaxprEqn], None]
) -> tuple[dict[Any, list[JaxprEqn]], list[JaxprEqn]]:
    """Run what depends on no sum; return the sums by shape, and what depends on them."""
    from jax.extend.core import Var

    sums: dict[Any, list[JaxprEqn]] = {}
    rest: list[JaxprEqn] = []
    waiting: set[Any] = set()
    for equation in jaxpr.eqns:
        if any(isinstance(v, Var) and v in waiting for v in equation.invars):
            rest.append(equation)
        elif equation.primitive is lax.reduce_sum_p and 0 in (axes := _summed_axes(equation)):
            summand: Any = equation.invars[0].aval
            sums.setdefault((summand.shape, summand.dtype, axes), []).append(equation)
        else:
            run(equation)
            continue
        waiting.update(equation.outvars)
    return sums, rest


def _summed_axes(equation: JaxprEqn) -> tuple[int, ...]:
    """Return the axes of a sum, and those of length 1: whether they are summed makes no difference.

    The parameters of a single sequence keep its axis, or lose it.
    """
    summand: Any = equation.invars[0].aval
    axes = equation.params["axes"]
    return tuple(i for i, size in enumerate(summand.shape) if i in axes or size == 1)


def _sum_jointly(arrays: tuple[jax.Array, ...], axes: Sequence[int]) -> tuple[jax.Array, ...]:
    """Sum arrays of one shape over the same axes."""

    @jax.custom_jvp
    def jointly(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        kept = tuple(np.delete(arrays[0].shape, axes))
        n_sums = len(arrays) * math.prod(kept)
        if n_sums > MOST_SUMS_TO_A_NUMBER:
            return _in_one_pass(arrays, axes)
        if arrays[0].size >= MANY_TERMS and tuple(axes) == tuple(range(len(axes))):
            rows = [x.reshape(-1, math.prod(kept)) for x in arrays]
            return tuple(total.reshape(kept) for total in _vectors_of_rows(rows))
        columns = [column for x in arrays for column in _columns(x, axes)]
        sums = jnp.stack(_in_one_pass(columns, range(columns[0].ndim)))
        return tuple(sums.reshape(len(arrays), *kept))

    @jointly.defjvp
    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
        return jointly(*primals), tuple(jnp.sum(t, axis=tuple(axes)) for t in tangents)

    return jointly(*arrays)


def _vectors_of_rows(arrays: Sequence[jax.Array]) -> list[jax.Array]:
    """Sum matrices over their rows, eight of which are added to eight others at a time."""
    rows, columns = arrays[0].shape
    n_vectors = rows // ROWS_OF_A_VECTOR
    end = n_vectors * ROWS_OF_A_VECTOR
    vectors = [x[:end].reshape(n_vectors, ROWS_OF_A_VECTOR * columns) for x in arrays]
    totals = [total.reshape(-1, columns) for total in _in_one_pass(vectors, (0,))]
    return [
        jnp.sum(total, axis=0) + jnp.sum(x[end:], axis=0)
        for total, x in zip(totals, arrays, strict=True)
    ]


def _columns(x: jax.Array, axes: Sequence[int]) -> list[jax.Array]:
    """Cut an array into those that are summed to one number each."""
    kept = [range(1) if axis in axes else range(size) for axis, size in enumerate(x.shape)]
    return [
        x[tuple(slice(None) if axis in axes else i for axis, i in enumerate(position))]
        for position in itertools.product(*kept)
    ]


def _in_one_pass(arrays: Sequence[jax.Array], axes: Sequence[int]) -> tuple[jax.Array, ...]:
    zeros = tuple(jnp.zeros((), dtype=x.dtype) for x in arrays)

    def add(x: tuple[Any, ...], y: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(a + b for a, b in zip(x, y, strict=True))

    totals: tuple[jax.Array, ...] = lax.reduce(tuple(arrays), zeros, add, tuple(axes))
    return totals
