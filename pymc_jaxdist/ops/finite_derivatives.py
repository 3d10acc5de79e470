"""Elementwise operations whose derivatives are never infinite, for gradients without NaN.

The gradient of ``switch(y > 0, log(y), 0)`` at ``y = 0`` is NaN in reverse mode: the branch not
taken receives the cotangent 0 and multiplies it by the infinite derivative of the logarithm. With
that derivative replaced by 0 the product is right. Where an infinite derivative is that of the
branch taken, the gradient is infinite, of no use to any sampler, and 0 replaces it too.
"""

from pytensor.graph.fg import FunctionGraph
from pytensor.tensor.elemwise import Elemwise

__all__ = ["FiniteDerivativeElemwise", "make_derivatives_finite"]


class FiniteDerivativeElemwise(Elemwise):
    """An elementwise operation that JAX differentiates with finite derivatives only."""


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
            finite = FiniteDerivativeElemwise(node.op.scalar_op)
            fgraph.replace_all(
                list(zip(node.outputs, finite.make_node(*node.inputs).outputs, strict=True))
            )
