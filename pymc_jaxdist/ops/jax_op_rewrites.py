"""Graph rewrites of JAX functions: value and gradient in one call with one forward pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import GraphRewriter, node_rewriter
from pytensor.graph.traversal import ancestors
from pytensor.tensor.type import TensorType

from pymc_jaxdist.ops.compat import dfs_rewriter
from pymc_jaxdist.ops.flat_function import Pullback, Selection, ValueAndPullbacks
from pymc_jaxdist.ops.inner_graph import InnerGraph
from pymc_jaxdist.ops.jax_op import JaxFunction
from pymc_jaxdist.ops.kernel_op import KernelOp

__all__ = ["ShareForwardPass", "drop_unused_outputs"]

# Larger constants (observed data) stay inputs: inside the compiled function they would slow its
# compilation.
LARGEST_BAKED_CONSTANT = 256


class ShareForwardPass(GraphRewriter):
    """Compute a JAX function and its pullbacks together.

    The cotangents usually depend on the values (the residuals of a regression), so that the two
    cannot simply be one node: what lies between them would have to be computed in the middle of
    it. It is: the graph from values to cotangents becomes part of the JAX function. Where that
    graph does not run in JAX, nothing is changed.
    """

    def apply(self, fgraph: FunctionGraph) -> None:
        """Fuse every function with its pullbacks."""
        failed: set[Apply] = set()
        while (found := _find_pair(fgraph, failed)) is not None:
            value, pullbacks = found
            if not _fuse(fgraph, value, pullbacks):
                failed.update(pullbacks)


def _find_pair(fgraph: FunctionGraph, failed: set[Apply]) -> tuple[Apply, list[Apply]] | None:
    """Return a function and pullbacks of it, the first in the order of computation."""
    nodes = [n for n in fgraph.toposort() if isinstance(n.op, JaxFunction)]
    values = {(n.op.function, tuple(n.inputs)): n for n in nodes}
    for node in nodes:
        if node in failed:
            continue
        key = _value_of(node)
        if key in values:
            value = values[key]
            group = [n for n in nodes if n not in failed and _value_of(n) == key]
            # One whose cotangent depends on another's result cannot be computed with it.
            above = set(ancestors([x for n in group[1:] for x in n.inputs[len(value.inputs) :]]))
            if any(output in above for n in group for output in n.outputs):
                group = group[:1]
            return value, group
    return None


def _value_of(node: Apply) -> tuple[Any, ...] | None:
    function = node.op.function
    if not isinstance(function, Pullback):
        return None
    return function.function, tuple(node.inputs[: function.n_inputs])


def _fuse(fgraph: FunctionGraph, value: Apply, pullbacks: Sequence[Apply]) -> bool:
    """Replace a function and pullbacks of it by one node, if the cotangents run in JAX."""
    n_inputs = len(value.inputs)
    cotangents = [x for node in pullbacks for x in node.inputs[n_inputs:]]
    between = _between(fgraph, value, cotangents)
    inside = {output for node in between for output in node.outputs}
    others = [
        x
        for x in dict.fromkeys([x for node in between for x in node.inputs] + cotangents)
        if x not in inside and x not in value.outputs and not _is_baked(x)
    ]
    if not all(isinstance(x.type, TensorType) for x in (*others, *inside)):
        return False
    seen = [
        i
        for i, y in enumerate(value.outputs)
        if y in cotangents or any(y in node.inputs for node in between)
    ]
    # Of what is computed in between, other calls of JAX are not to be made a second time.
    wanted = [
        output
        for node in between
        if isinstance(node.op, KernelOp)
        for output in node.outputs
        if fgraph.clients.get(output)
    ]
    exported = [i for i, y in enumerate(value.outputs) if fgraph.clients.get(y)]
    kept = [[k for k, x in enumerate(node.outputs) if fgraph.clients.get(x)] for node in pullbacks]
    try:
        graph = InnerGraph([*(value.outputs[i] for i in seen), *others], [*cotangents, *wanted])
        function = ValueAndPullbacks(
            function=value.op.function,
            n_inputs=n_inputs,
            exported=tuple(exported),
            seen=tuple(seen),
            cotangents=graph,
            pullbacks=tuple(
                (tuple(node.op.function.wrt[k] for k in own), node.op.function.outputs)
                for node, own in zip(pullbacks, kept, strict=True)
            ),
        )
        fused = JaxFunction(function).make_node(*value.inputs, *others)
    except Exception:  # something in between that JAX, or PyTensor's JAX backend, cannot do
        return False
    old = [value.outputs[i] for i in exported]
    old += [node.outputs[k] for node, own in zip(pullbacks, kept, strict=True) for k in own]
    old += wanted
    pairs = list(zip(old, fused.outputs, strict=True))
    fgraph.replace_all(pairs, reason="share_forward_pass")
    return True


def _between(fgraph: FunctionGraph, value: Apply, cotangents: Sequence[Variable]) -> list[Apply]:
    """Return the nodes on the way from a function's values to cotangents, in order."""
    needed = set(ancestors(cotangents))
    depends = set(value.outputs)
    between = []
    for node in fgraph.toposort():
        if node is not value and any(x in depends for x in node.inputs):
            depends.update(node.outputs)
            if any(output in needed for output in node.outputs):
                between.append(node)
    return between


def _is_baked(variable: Variable) -> bool:
    return isinstance(variable, Constant) and np.size(variable.data) <= LARGEST_BAKED_CONSTANT


@node_rewriter([JaxFunction])
def drop_unused_outputs(fgraph: FunctionGraph, node: Apply) -> dict[Variable, Variable] | None:
    """Replace a function by one that computes only the results something depends on."""
    used = tuple(i for i, output in enumerate(node.outputs) if fgraph.clients.get(output))
    if len(used) == len(node.outputs) or not used:
        return None
    function = node.op.function
    smaller: Pullback | Selection
    if isinstance(function, Pullback):
        wrt = tuple(function.wrt[i] for i in used)
        smaller = Pullback(function.function, function.n_inputs, wrt, function.outputs)
    elif isinstance(function, Selection):
        smaller = Selection(function.function, tuple(function.outputs[i] for i in used))
    else:
        smaller = Selection(function, used)
    outputs = JaxFunction(smaller).make_node(*node.inputs).outputs
    return dict(zip((node.outputs[i] for i in used), outputs, strict=True))


MODES = ("fast_run", "fast_compile", "jax", "numba")

# After gradients have been simplified, before PyTensor calls BLAS, which JAX has no word for.
optdb.register("pymc_jaxdist_share_forward_pass", ShareForwardPass(), *MODES, position=1.69)
# Where gradients that nobody uses are dropped from log-densities too.
optdb.register(
    "pymc_jaxdist_drop_unused_outputs",
    dfs_rewriter(drop_unused_outputs),
    *MODES,
    position=48.5,
)
