"""What an Op does as a graph that Numba compiles; its kernel where the graph has no answer."""

import warnings
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import uuid4
from weakref import WeakValueDictionary

import numpy as np
from pytensor.compile.io import In
from pytensor.compile.mode import get_mode, optdb
from pytensor.configdefaults import config
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer
from pytensor.tensor.rewriting.basic import constant_folding
from pytensor.tensor.rewriting.elemwise import local_dimshuffle_lift

from pymc_jaxdist.ops.backend import keep_memory
from pymc_jaxdist.ops.compat import add_supervisor_to_fgraph, dfs_rewriter
from pymc_jaxdist.ops.computed_again import ComputeAgain
from pymc_jaxdist.ops.performed_by_address import (
    OpWithGraph,
    PerformedByAddress,
    function_of_addresses,
)
from pymc_jaxdist.ops.shared_divisors import multiply_by_reciprocals
from pymc_jaxdist.ops.sums_of_elementwise import SumAsComputed

__all__ = ["NativeGraph", "native_graph", "numba_of_graph"]

# Of functions whose names begin so PyTensor lets Numba not say that their data are too large to be
# kept on disk.
NAME = "numba_funcified_fgraph_or_op"
NAME_AT_ADDRESSES = "numba_funcified_fgraph_at_addresses"
SIGNATURE = "int64(int64)"

QUICKER_DENSITIES = "pymc_jaxdist_quicker_densities"
# After what would turn products back into divisions and merge what is computed twice; before
# elementwise operations are fused.
optdb.register(
    "pymc_jaxdist_multiply_by_reciprocals",
    dfs_rewriter(multiply_by_reciprocals),
    QUICKER_DENSITIES,
    position=48.95,
)
optdb.register("pymc_jaxdist_compute_again", ComputeAgain(), QUICKER_DENSITIES, position=48.96)
# After they are fused, before they are done in place.
optdb.register("pymc_jaxdist_sum_as_computed", SumAsComputed(), QUICKER_DENSITIES, position=49.7)


class NativeGraph(NamedTuple):
    """A graph that Numba compiled.

    ``function`` is a cfunc of the address of a table like that of `PerformedByAddress`, and returns
    whether all numbers that the graph gives are finite. ``key`` is that under which it is kept on
    disk, if it can be.
    """

    function: Any
    key: str | None
    identity: int


def native_graph(node: Apply, graph: FunctionGraph) -> NativeGraph | None:
    """Let Numba compile what a node does by a graph.

    Parameters
    ----------
    node : Apply
        With outputs in double precision.
    graph : FunctionGraph
        From the inputs of the node that are not constant to its outputs.

    Returns
    -------
    NativeGraph or None
        None if something in the graph runs in Numba only by calling Python.
    """
    from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key

    keep_memory()
    add_supervisor_to_fgraph(graph, [In(x, borrow=True, mutable=False) for x in graph.inputs])
    get_mode("NUMBA").including(QUICKER_DENSITIES).optimizer.rewrite(graph)
    # What they leave of axes that numbers had in between takes long to compile.
    dfs_rewriter(local_dimshuffle_lift, constant_folding).rewrite(graph)
    MergeOptimizer().rewrite(graph)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Numba will use object mode")
            native, key = numba_funcify_and_cache_key(graph)
    except (UserWarning, NotImplementedError):
        return None
    at_addresses = _source_at_addresses(node)
    # The same in each process if Numba can keep it.
    identity = int(_hash(f"{key or uuid4()} {at_addresses}")[:15], 16)
    function = _graph_at_addresses(native, node, at_addresses, identity, key is not None)
    return NativeGraph(function, key, identity)


def numba_of_graph(
    op: OpWithGraph, node: Apply, graph: FunctionGraph, shaped_like: Sequence[int]
) -> tuple[Callable[..., Any], str | None] | None:
    """Let Numba compute what an Op does by a graph, and call its kernel where that fails.

    Parameters
    ----------
    op : OpWithGraph
    node, graph
        As in `native_graph`.
    shaped_like : sequence of int
        For each output, the position of an input that has its shape, perhaps with more axes to
        the right.

    Returns
    -------
    (callable, str or None) or None
        A function that Numba compiles, and the key under which it can be kept on disk. Where any
        number that the graph gives is not finite, and ``op.settled`` does not know better, it
        returns what ``op.call_kernel`` gives instead.
        None if something in the graph runs in Numba only by calling Python.
    """
    from pytensor.link.numba.cache import compile_numba_function_src
    from pytensor.link.numba.dispatch.basic import numba_njit

    from pymc_jaxdist.kernels.native.addresses import in_use
    from pymc_jaxdist.kernels.native.compilation import called_by_symbol

    native = native_graph(node, graph)
    if native is None:
        return None
    function, key, identity = native
    source = _source(node, identity, shaped_like)
    graph_or_op = compile_numba_function_src(
        source,
        NAME,
        {
            "empty": np.empty,
            "graph": called_by_symbol(
                f"pymc_jaxdist_graph_{identity}", SIGNATURE, function.address
            ),
            "in_use": in_use,
            "int64": np.int64,
            "perform": function_of_addresses(),
        },
    )
    # Whoever holds the function holds what it calls.
    graph_or_op.calls = function, PerformedByAddress(op, node, identity)  # type: ignore[attr-defined]
    return numba_njit(graph_or_op), None if key is None else _hash(f"{key} {source}")


def _source(node: Apply, identity: int, shaped_like: Sequence[int]) -> str:
    """Write the function that asks the graph first, and Python where a number is not finite."""
    names = [f"x{i}" for i in range(len(node.inputs))]
    moving = set(_moving(node))
    copies = {f"{name}_copy": x for name, x in zip(names, node.inputs, strict=True) if x in moving}
    outputs = {f"y{i}": x for i, x in enumerate(node.outputs)}
    table = [
        entry
        for name, x in (copies | outputs).items()
        for entry in [f"{name}.ctypes.data", *(f"{name}.shape[{k}]" for k in range(x.type.ndim))]
    ]

    def shape(output: Variable, i: int) -> str:
        known = node.inputs[i].type.shape[: output.type.ndim]
        lengths = [f"x{i}.shape[{k}]" if n is None else str(n) for k, n in enumerate(known)]
        return f"({''.join(f'{length}, ' for length in lengths)})"

    lines = [
        *(f"{name} = {name.removesuffix('_copy')}.copy()" for name in copies),
        *(
            f"{name} = empty({shape(output, i)})"
            for (name, output), i in zip(outputs.items(), shaped_like, strict=True)
        ),
        f"table = empty({len(table)}, int64)",
        *(f"table[{i}] = {entry}" for i, entry in enumerate(table)),
        "failed = 0",
        "if not graph(table.ctypes.data):",
        f"    failed = perform({identity}, table.ctypes.data)",
        f"in_use({', '.join([*copies, *outputs, 'table'])})",
        "if failed:",
        "    raise RuntimeError('An evaluation failed; the error is printed above.')",
        f"return {', '.join(outputs)}",
    ]
    return "\n    ".join([f"def {NAME}({', '.join(names)}):", *lines])


def _source_at_addresses(node: Apply) -> str:
    """Write the function of the address of a table, which returns whether all is finite."""
    entries = iter(range(sum(1 + x.type.ndim for x in [*_moving(node), *node.outputs])))
    views, writes = [], []
    for x in _moving(node):
        pointer = f"pointer_to_{x.type.dtype}(table[{next(entries)}])"
        shape = "".join(f"table[{next(entries)}], " for _ in range(x.type.ndim))
        views.append(f"carray({pointer}, ({shape}))")
    for i, y in enumerate(node.outputs):
        address, *_ = [next(entries) for _ in range(1 + y.type.ndim)]
        writes.append(f"finite &= write(results[{i}], table[{address}])")
    lines = [
        "table = integers(address)",
        f"results = native({', '.join(views)})",
        "finite = True",
        *writes,
        "return finite",
    ]
    return "\n    ".join([f"def {NAME_AT_ADDRESSES}(address):", *lines])


# By identity: those that are held. They hold the data of their models.
_at_addresses: WeakValueDictionary[int, Any] = WeakValueDictionary()


def _graph_at_addresses(
    native: Callable[..., Any], node: Apply, source: str, identity: int, may_be_kept: bool
) -> Any:
    """Compile a graph as a function of the address of a table like that of `PerformedByAddress`.

    Numba compiles the code of a function again for each function around it, and PyTensor puts four
    around this one. What is called by its symbol is compiled once.

    Returns
    -------
    numba cfunc
    """
    from numba import carray, cfunc
    from numba.np.numpy_support import from_dtype
    from pytensor.link.numba.cache import compile_numba_function_src

    from pymc_jaxdist.kernels.native.addresses import integers, pointer_to, write

    compiled = _at_addresses.get(identity)
    if compiled is None:
        kinds = {x.type.dtype for x in _moving(node)}
        function = compile_numba_function_src(
            source,
            NAME_AT_ADDRESSES,
            {
                **{f"pointer_to_{kind}": pointer_to(from_dtype(np.dtype(kind))) for kind in kinds},
                # What is kept on disk names its module.
                "__name__": __name__,
                "carray": carray,
                "integers": integers,
                "native": native,
                "write": write,
            },
            cache_key=f"{identity}_{config.numba__fastmath}" if may_be_kept else None,
        )
        compiled = cfunc(SIGNATURE, nopython=True, cache=may_be_kept)(function)
        _at_addresses[identity] = compiled
    return compiled


def _moving(node: Apply) -> list[Variable]:
    return [x for x in node.inputs if not isinstance(x, Constant)]


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
