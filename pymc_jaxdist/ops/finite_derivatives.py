"""Elementwise operations whose derivatives are never infinite, for gradients without NaN.

The gradient of ``switch(y > 0, log(y), 0)`` at ``y = 0`` is NaN in reverse mode: the branch not
taken receives the cotangent 0 and multiplies it by the infinite derivative of the logarithm. With
that derivative replaced by 0 the product is right. Where an infinite derivative is that of the
branch taken, the gradient is infinite, of no use to any sampler, and 0 replaces it too.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.tensor.elemwise import Elemwise

__all__ = ["make_derivatives_finite"]


class _FiniteDerivativeElemwise(Elemwise):
    """An elementwise operation that JAX differentiates with finite derivatives only."""


@jax_funcify.register(_FiniteDerivativeElemwise)
def _jax_finite_derivative_elemwise(
    op: _FiniteDerivativeElemwise, node: Apply, **kwargs: Any
) -> Callable:
    operation = jax_funcify.dispatch(Elemwise)(op, node=node, **kwargs)
    differentiable = jax.custom_jvp(operation)

    def jvp(primals: tuple, tangents: tuple) -> tuple:
        result = operation(*primals)
        total = jnp.zeros_like(result)
        for position, (primal, tangent) in enumerate(zip(primals, tangents, strict=True)):
            # Not every operation has a derivative in every argument (betainc); ask for none
            # that is not needed.
            if isinstance(tangent, SymbolicZero):
                continue

            def of_one(x: jax.Array, position: int = position) -> jax.Array:
                return operation(*primals[:position], x, *primals[position + 1 :])

            _, derivative = jax.jvp(of_one, (primal,), (jnp.ones_like(primal),))
            total += jnp.where(jnp.isfinite(derivative), derivative, 0.0) * tangent
        return result, total

    differentiable.defjvp(jvp, symbolic_zeros=True)
    return differentiable


def make_derivatives_finite(fgraph: FunctionGraph) -> None:
    """Replace, in place, the elementwise operations of a graph.

    Parameters
    ----------
    fgraph : FunctionGraph
        A graph already rewritten for JAX: a rewrite would not know the replaced operations.
        Without fusion, which would hide the branches not taken inside one operation.
    """
    for node in fgraph.toposort():
        is_real = all(output.type.dtype.startswith("float") for output in node.outputs)
        if type(node.op) is Elemwise and is_real:
            finite = _FiniteDerivativeElemwise(node.op.scalar_op)
            fgraph.replace_all(
                list(zip(node.outputs, finite.make_node(*node.inputs).outputs, strict=True))
            )
