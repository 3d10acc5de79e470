"""What an Op does as a graph that Numba compiles; the Op itself where the graph has no answer."""

import warnings
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
from pytensor.compile.io import In
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op

from pymc_jaxdist.ops.compat import add_supervisor_to_fgraph
from pymc_jaxdist.ops.performed_by_address import PerformedByAddress, function_of_addresses

__all__ = ["numba_of_graph"]

# Of functions whose names begin so PyTensor lets Numba not say that their data are too large to be
# kept on disk.
NAME = "numba_funcified_fgraph_or_op"


def numba_of_graph(
    op: Op, node: Apply, graph: FunctionGraph
) -> tuple[Callable[..., Any], str | None] | None:
    """Let Numba compute what an Op does by a graph, and call ``op.perform`` where that fails.

    Parameters
    ----------
    op : Op
    node : Apply
    graph : FunctionGraph
        From the inputs of the node that are not constant to outputs of floating dtype.

    Returns
    -------
    (callable, str or None) or None
        A function that Numba compiles, and the key under which it can be kept on disk. Where any
        number that the graph gives is not finite, it returns what ``op.perform`` gives instead.
        None if something in the graph runs in Numba only by calling Python.
    """
    from pytensor.link.numba.cache import compile_numba_function_src
    from pytensor.link.numba.dispatch.basic import (
        numba_funcify_and_cache_key,
        numba_njit,
    )

    add_supervisor_to_fgraph(graph, [In(x, borrow=True, mutable=False) for x in graph.inputs])
    get_mode("NUMBA").optimizer.rewrite(graph)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Numba will use object mode")
            native, key = numba_funcify_and_cache_key(graph)
    except (UserWarning, NotImplementedError):
        return None
    identity = _identity(key, op, node)
    source = _source(node, identity)
    graph_or_op = compile_numba_function_src(
        source,
        NAME,
        {
            "all_finite": numba_njit(_all_finite),
            "empty": np.empty,
            "in_use": numba_njit(_in_use),
            "int64": np.int64,
            "native": native,
            "perform": function_of_addresses(),
        },
    )
    # Whoever holds the function holds what it performs.
    graph_or_op.performed = PerformedByAddress(op, node, identity)  # type: ignore[attr-defined]
    return numba_njit(graph_or_op), None if key is None else _hash(f"{key} {source}")


def _source(node: Apply, identity: int) -> str:
    """Write the function that asks the graph first, and Python where a number is not finite."""
    names = [f"x{i}" for i in range(len(node.inputs))]
    moving = {
        name: x for name, x in zip(names, node.inputs, strict=True) if not isinstance(x, Constant)
    }
    copies = {f"{name}_copy": x for name, x in moving.items()}
    outputs = {f"y{i}": x for i, x in enumerate(node.outputs)}
    finite = [f"all_finite(results[{i}])" for i in range(len(outputs))]
    table = [
        entry
        for name, x in (copies | outputs).items()
        for entry in [f"{name}.ctypes.data", *(f"{name}.shape[{k}]" for k in range(x.type.ndim))]
    ]
    lines = [
        f"results = native({', '.join(moving)})",
        f"if {' and '.join(finite)}:",
        f"    return {'results' if len(outputs) > 1 else 'results[0]'}",
        *(f"{name}_copy = {name}.copy()" for name in moving),
        *(f"{name} = empty(results[{i}].shape)" for i, name in enumerate(outputs)),
        f"table = empty({len(table)}, int64)",
        *(f"table[{i}] = {entry}" for i, entry in enumerate(table)),
        f"failed = perform({identity}, table.ctypes.data)",
        f"in_use({', '.join([*copies, *outputs, 'table'])})",
        "if failed:",
        "    raise RuntimeError('An evaluation failed; the error is printed above.')",
        f"return {', '.join(outputs)}",
    ]
    return "\n    ".join([f"def {NAME}({', '.join(names)}):", *lines])


def _identity(key: str | None, op: Op, node: Apply) -> int:
    """Give a number to what a graph does: the same in each process, if Numba can keep it."""
    return int(_hash(key or f"{id(op)} {id(node)}")[:15], 16)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _in_use(*arrays: np.ndarray) -> None:
    """Use arrays of which only the addresses were used, so that they are not freed before."""


def _all_finite(array: np.ndarray) -> bool:
    if array.ndim == 0:
        return bool(np.isfinite(array[()]))
    # Numba compiles this loop in a tenth of the time that its own reductions take.
    finite = True
    for number in array.flat:
        finite &= np.isfinite(number)
    return bool(finite)
