"""Division by what many numbers share, such as the scale of all observations of a state.

A processor takes as long for one division as for eight products, and densities divide each
observation by the same few parameters, their gradients several times. One reciprocal of each
parameter, and a product for each observation, differ from that by rounding.
"""

from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.tensor.math import reciprocal, true_div

__all__ = ["multiply_by_reciprocals"]


@node_rewriter([true_div])
def multiply_by_reciprocals(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:
    """Replace ``x / d`` by ``x * (1 / d)`` where ``d`` is repeated along an axis of ``x``.

    Simplifications that PyTensor makes earlier would turn it back.
    """
    numerator, divisor = node.inputs
    (quotient,) = node.outputs
    lengths = zip(divisor.type.shape, quotient.type.shape, strict=True)
    is_repeated = any(own == 1 and length != 1 for own, length in lengths)
    if not is_repeated or divisor.type.dtype != quotient.type.dtype:
        return None
    return [numerator * reciprocal(divisor)]
