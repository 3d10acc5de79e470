"""What an Op does as a graph that Numba compiles; the Op itself where the graph has no answer."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.compile.io import In
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op

from pymc_jaxdist.ops.compat import add_supervisor_to_fgraph

__all__ = ["numba_of_graph"]


def numba_of_graph(op: Op, node: Apply, graph: FunctionGraph) -> Callable[..., Any] | None:
    """Let Numba compute what an Op does by a graph, and call ``op.perform`` where that fails.

    Parameters
    ----------
    op : Op
    node : Apply
    graph : FunctionGraph
        From the inputs of the node that are not constant to outputs of floating dtype.

    Returns
    -------
    callable or None
        A function that Numba compiles. Where any number that the graph gives is not finite, it
        returns what ``op.perform`` gives instead. None if something in the graph runs in Numba
        only by calling Python.
    """
    import numba
    from pytensor.link.numba.cache import compile_numba_function_src
    from pytensor.link.numba.dispatch.basic import (
        get_numba_type,
        numba_funcify_ensure_cache,
        numba_njit,
    )

    add_supervisor_to_fgraph(graph, [In(x, borrow=True, mutable=False) for x in graph.inputs])
    get_mode("NUMBA").optimizer.rewrite(graph)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Numba will use object mode")
            native, _ = numba_funcify_ensure_cache(graph)
    except (UserWarning, NotImplementedError):
        return None
    of_outputs = [get_numba_type(x.type, layout="C") for x in node.outputs]
    result = numba.types.Tuple(of_outputs) if len(of_outputs) > 1 else of_outputs[0]

    def perform(*inputs: Any) -> Any:
        storage: list[list[Any]] = [[None] for _ in node.outputs]
        op.perform(node, inputs, storage)
        outputs = tuple(np.asarray(x, order="C") for (x,) in storage)
        return outputs if len(outputs) > 1 else outputs[0]

    names = [f"x{i}" for i in range(len(node.inputs))]
    moving = [
        name for name, x in zip(names, node.inputs, strict=True) if not isinstance(x, Constant)
    ]
    results = [f"results[{i}]" for i in range(len(of_outputs))]
    # Two functions: Numba tries to pickle all that one which leaves compiled code refers to.
    by_python = compile_numba_function_src(
        f"""
def kernel({", ".join(names)}):
    with objmode(outputs=result):
        outputs = perform({", ".join(names)})
    return outputs
""",
        "kernel",
        {"objmode": numba.objmode, "perform": perform, "result": result},
    )
    call = compile_numba_function_src(
        f"""
def call({", ".join(names)}):
    results = native({", ".join(moving)})
    if {" and ".join(f"all_finite({x})" for x in results)}:
        return {"results" if len(of_outputs) > 1 else "results[0]"}
    return kernel({", ".join(names)})
""",
        "call",
        {"all_finite": numba_njit(_all_finite), "kernel": numba_njit(by_python), "native": native},
    )
    return numba_njit(call)


def _all_finite(array: np.ndarray) -> bool:
    if array.ndim == 0:
        return bool(np.isfinite(array[()]))
    # Numba compiles this loop in a tenth of the time that its own reductions take.
    finite = True
    for number in array.flat:
        finite &= np.isfinite(number)
    return bool(finite)
