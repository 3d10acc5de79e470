"""A PyTensor graph as a hashable, picklable JAX function."""

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property, lru_cache
from typing import Any, cast

import jax
import numpy as np
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.tensor.basic import ARange, constant

from pymc_jaxdist.ops.compat import dfs_rewriter
from pymc_jaxdist.ops.finite_derivatives import make_derivatives_finite
from pymc_jaxdist.ops.linkers import know_our_ops
from pymc_jaxdist.ops.shared_divisors import multiply_by_reciprocals

__all__ = ["InnerGraph"]


class InnerGraph:
    """The JAX function of a PyTensor graph, equal to every other with the same structure.

    Rebuilding a model makes new variables but the same structure (Ops, types and constants), so
    that kernels holding an `InnerGraph` find what was compiled for the first.

    Parameters
    ----------
    inputs : sequence of Variable
        Inputs of the graph, in the order of the arguments.
    outputs : sequence of Variable
        Outputs. Everything they depend on must be an input or a constant.
    finite_derivatives : bool
        Whether infinite derivatives of elementwise operations count as 0, so that branches not
        taken leave no NaN in a gradient; somewhat slower.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> def square():
    ...     x = pt.dscalar()
    ...     return InnerGraph([x], [x**2])
    >>> square() == square()
    True
    >>> float(square()(3.0)[0])
    9.0
    """

    def __init__(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        finite_derivatives: bool = False,
    ) -> None:
        self._graph = _Graph(FunctionGraph(list(inputs), list(outputs), clone=True))
        self.finite_derivatives = finite_derivatives

    @property
    def fgraph(self) -> FunctionGraph:
        """The graph as it was given."""
        return self._graph.fgraph

    @cached_property
    def function(self) -> Callable[..., tuple[jax.Array, ...]]:
        """The JAX function of the rewritten graph."""
        know_our_ops()
        from pytensor.link.jax.dispatch import jax_funcify

        rewritten = _rewritten(self._graph).clone()
        if self.finite_derivatives:
            make_derivatives_finite(rewritten)
        # The first call comes while a kernel is traced; the constants must outlive that trace.
        with jax.ensure_compile_time_eval():
            return jax_funcify(rewritten)

    def __call__(self, *arguments: Any) -> tuple[jax.Array, ...]:
        return tuple(self.function(*arguments))

    def __hash__(self) -> int:
        return hash((self._graph, self.finite_derivatives))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, InnerGraph)
            and self.finite_derivatives == other.finite_derivatives
            and self._graph == other._graph
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # The structure holds hashes of this process, and JAX functions do not pickle.
        return _restore, (self.fgraph, self.finite_derivatives)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.fgraph.apply_nodes)} nodes)"


class _Graph:
    """A graph, equal to every other with the same structure."""

    def __init__(self, fgraph: FunctionGraph) -> None:
        self.fgraph = fgraph
        self._structure = _structure(fgraph)
        self._hash = hash(self._structure)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Graph) and self._structure == other._structure)


# A density with and without finite derivatives is rewritten once, one soon after the other.
@lru_cache(maxsize=16)
def _rewritten(graph: _Graph) -> FunctionGraph:
    """Return the graph as JAX is to compute it, not to be changed."""
    rewritten = graph.fgraph.clone()
    get_mode("JAX").excluding("fusion").optimizer.rewrite(rewritten)
    dfs_rewriter(multiply_by_reciprocals).rewrite(rewritten)
    _widen_ranges(rewritten)
    return rewritten


def _restore(fgraph: FunctionGraph, finite_derivatives: bool) -> InnerGraph:
    return InnerGraph(fgraph.inputs, fgraph.outputs, finite_derivatives)


def _widen_ranges(fgraph: FunctionGraph) -> None:
    """Replace, in place, the constants of ranges by int64.

    PyTensor stores a 0 in one byte, and NumPy refuses to subtract that from a length above 127.
    """
    for node in fgraph.toposort():
        if isinstance(node.op, ARange):
            inputs = [
                constant(x.data, dtype="int64") if isinstance(x, Constant) else x
                for x in node.inputs
            ]
            fgraph.replace(node.outputs[0], node.op(*inputs), import_missing=True)


def _structure(fgraph: FunctionGraph) -> Hashable:
    """Describe a graph by its Ops, types and constants, not by its variables."""
    numbering: dict[Variable, Hashable] = {
        variable: (position, variable.type) for position, variable in enumerate(fgraph.inputs)
    }

    def describe(variable: Variable) -> Hashable:
        if variable in numbering:
            return numbering[variable]
        return variable.type, _constant_value(variable)

    nodes = []
    for count, node in enumerate(fgraph.toposort()):
        nodes.append((node.op, tuple(describe(x) for x in node.inputs)))
        for index, output in enumerate(node.outputs):
            numbering[output] = ("node", count, index)
    return (
        tuple(variable.type for variable in fgraph.inputs),
        tuple(nodes),
        tuple(describe(output) for output in fgraph.outputs),
    )


def _constant_value(constant: Variable) -> Hashable:
    data = cast(Constant, constant).data
    if isinstance(data, np.ndarray | np.generic):
        return data.dtype.str, np.shape(data), np.asarray(data).tobytes()
    return repr(data)
