"""Functions whose derivatives are carried along with their values."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from pymc_jaxdist.ops.flat_function import Flat

__all__ = ["ForwardMode"]


@dataclass(frozen=True)
class ForwardMode:
    r"""A function that JAX differentiates in forward mode, also where it wants a gradient.

    All columns of the Jacobian :math:`J` are computed beside the values, whence a product
    :math:`g^T J` costs next to nothing.

    Parameters
    ----------
    function : callable
        ``(*arrays) -> tuple of arrays``.

    References
    ----------
    Griewank, A. and Walther, A. (2008). Evaluating Derivatives, 2nd ed. SIAM. Chapter 3.

    Examples
    --------
    >>> function = ForwardMode(lambda x: (jax.lax.while_loop(lambda x: x < 9, lambda x: x**2, x),))
    >>> print(jax.grad(lambda x: function(x)[0])(2.0))
    32.0
    """

    function: Flat

    def __call__(self, *inputs: Any) -> tuple[jax.Array, ...]:
        results: tuple[jax.Array, ...] = _in_forward_mode(self.function)(*map(jnp.asarray, inputs))
        return results

    def __str__(self) -> str:
        return str(self.function)


def _in_forward_mode(function: Flat) -> Flat:
    result = jax.custom_jvp(lambda *x: tuple(function(*x)))

    def jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
        moving = [i for i, t in enumerate(tangents) if not isinstance(t, SymbolicZero)]

        def along(direction: jax.Array, *primals: jax.Array) -> tuple[Any, ...]:
            parts = jnp.split(direction, np.cumsum([primals[i].size for i in moving])[:-1])
            given = dict(zip(moving, parts, strict=True))
            directions = tuple(
                given[i].reshape(x.shape).astype(x.dtype) if i in given else _still(x)
                for i, x in enumerate(primals)
            )
            values, columns = jax.jvp(lambda *x: tuple(function(*x)), primals, directions)
            # Of integers nothing but the place is kept.
            kept = [
                c if _is_real(y) else jnp.zeros(0) for y, c in zip(values, columns, strict=True)
            ]
            return values, tuple(kept)

        def with_jacobians(*primals: jax.Array) -> tuple[Any, ...]:
            basis = jnp.eye(sum(primals[i].size for i in moving))
            in_axes = (0, *(None for _ in primals))
            values, jacobians = jax.vmap(along, in_axes, out_axes=(None, -1))(basis, *primals)
            return *values, *jacobians

        # Second derivatives are taken in forward mode too.
        results = _in_forward_mode(with_jacobians)(*primals)
        values, jacobians = results[: len(results) // 2], results[len(results) // 2 :]
        step = jnp.concatenate([jnp.ravel(tangents[i]) for i in moving])
        return values, tuple(map(partial(_product, step), values, jacobians))

    result.defjvp(jvp, symbolic_zeros=True)
    return result


def _is_real(x: jax.Array) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.inexact))


def _still(x: jax.Array) -> Any:
    """Return the tangent of an array that does not move."""
    return jnp.zeros_like(x) if _is_real(x) else np.zeros(x.shape, dtype=jax.dtypes.float0)


def _product(step: jax.Array, value: jax.Array, jacobian: jax.Array) -> Any:
    if not _is_real(value):
        return _still(value)
    return jnp.matmul(jacobian, step, precision=jax.lax.Precision.HIGHEST).astype(value.dtype)
