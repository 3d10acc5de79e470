"""Graph rewrites: gradients that nobody uses are not computed."""

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import node_rewriter

from pymc_jaxdist.ops.compat import dfs_rewriter
from pymc_jaxdist.ops.log_density import LogDensity

__all__ = ["drop_unused_gradients"]


@node_rewriter([LogDensity])
def drop_unused_gradients(fgraph: FunctionGraph, node: Apply) -> dict[Variable, Variable] | None:
    """Replace a log-density by one that computes only the gradients something depends on."""
    op: LogDensity = node.op
    gradients = dict(zip(op.wrt, node.outputs[1:], strict=True))
    used = tuple(i for i, gradient in gradients.items() if fgraph.clients.get(gradient))
    if used == op.wrt:
        return None
    slimmer = op.with_gradients_of(used).make_node(*node.inputs)
    replaced = [node.outputs[0], *(gradients[i] for i in used)]
    return dict(zip(replaced, slimmer.outputs, strict=True))


# After merging and specialisation (so that value and gradient have become one node), before
# in-place rewrites.
optdb.register(
    "pymc_jaxdist_drop_unused_gradients",
    dfs_rewriter(drop_unused_gradients),
    "fast_run",
    "fast_compile",
    "jax",
    "numba",
    position=48.5,
)
