"""What is computed again after the recursions of a hidden Markov model, rather than stored.

The gradient of the emissions' log-densities needs what they were computed from, such as the
distance of each observation from the mean of each state. Written to memory and read again that
takes longer than the subtraction.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytensor.scalar as ps
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.graph.traversal import ancestors
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.tensor.elemwise import DimShuffle, Elemwise

from pymc_jaxdist.ops.hidden_markov_gradients import HiddenMarkovGradients

__all__ = ["ComputeAgain"]

# What takes no longer than reading a number from memory.
QUICK = (ps.Add, ps.Sub, ps.Mul, ps.Neg, ps.Sqr, ps.Abs, ps.Switch, ps.Cast, ps.LogicalComparison)


class ReadAgain(Op):
    """The same array, which PyTensor takes for another."""

    __props__ = ()
    view_map = {0: [0]}  # noqa: RUF012 - that is how PyTensor's Ops say it

    def make_node(self, x: Any) -> Apply:
        variable = pt.as_tensor_variable(x)
        return Apply(self, [variable], [variable.type()])

    def perform(
        self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]
    ) -> None:
        output_storage[0][0] = inputs[0]


@register_funcify_default_op_cache_key(ReadAgain)
def numba_read_again(op: ReadAgain, node: Apply | None = None, **kwargs: Any) -> Callable[..., Any]:
    """Return the compiled identity."""

    @numba_njit
    def read_again(x: Any) -> Any:
        return x

    compiled: Callable[..., Any] = read_again
    return compiled


class ComputeAgain(GraphRewriter):
    """Let gradients depend on the observations themselves, not on what was computed from them."""

    def apply(self, fgraph: FunctionGraph) -> None:
        for node in fgraph.toposort():
            if isinstance(node.op, HiddenMarkovGradients):
                _compute_again(fgraph, node)


def _compute_again(fgraph: FunctionGraph, recursions: Apply) -> None:
    """Replace what nodes after the recursions use of what was computed before them."""
    before = set(ancestors(recursions.inputs))
    again: dict[Variable, Variable] = {}

    def once_more(x: Variable) -> Variable:
        if x not in again:
            again[x] = computed_again(x)
        return again[x]

    def computed_again(x: Variable) -> Variable:
        if isinstance(x, Constant):
            return ReadAgain()(x) if _is_series(x) else x
        node = x.owner
        if node is None or not _is_series(x):
            return x
        quick = isinstance(node.op, DimShuffle) or (
            isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, QUICK)
        )
        if not quick:
            return x
        return node.op.make_node(*map(once_more, node.inputs)).outputs[0]

    for node in fgraph.toposort():
        if any(x in before for x in node.outputs):
            continue
        for position, x in enumerate(node.inputs):
            if x in before and isinstance(node.op, Elemwise) and x.owner is not None:
                replacement = once_more(x)
                if replacement is not x:
                    fgraph.change_node_input(node, position, replacement, import_missing=True)


def _is_series(x: Variable) -> bool:
    """Tell whether a variable has a number for each observation, not one for all of them."""
    return any(length != 1 for length in x.type.shape[:-1])
