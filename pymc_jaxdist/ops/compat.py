"""What differs between PyTensor 2.38 and 3.x: the only file that knows versions."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from pytensor.compile.io import In
from pytensor.compile.mode import get_mode
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter

try:
    from pytensor.compile.aliasing import add_supervisor_to_fgraph
except ImportError:  # PyTensor 2
    from pytensor.compile.function.types import add_supervisor_to_fgraph

__all__ = [
    "ForwardModeOp",
    "VersionedOp",
    "dfs_rewriter",
    "in_order",
    "numba_object_mode",
    "numba_of_graph",
]


class VersionedOp(Op):
    """An Op whose gradient and shape methods are found under the names of every PyTensor.

    Subclasses define ``pullback(inputs, outputs, cotangents)`` (the name since PyTensor 3) and
    ``output_shapes(node, input_shapes)``.
    """

    def L_op(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        output_grads: Sequence[Variable],
    ) -> list[Variable]:
        """Delegate to ``pullback``, which PyTensor 3 calls by itself."""
        return self.pullback(inputs, outputs, output_grads)

    def pullback(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        cotangents: Sequence[Variable],
    ) -> list[Variable]:
        """Return the cotangents of the inputs."""
        raise NotImplementedError

    def output_shapes(
        self, node: Apply, input_shapes: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        """Return one symbolic shape per output."""
        raise NotImplementedError

    def infer_shape(self, *arguments: Any) -> list[tuple[Any, ...]]:
        """Delegate to ``output_shapes``: PyTensor 2 passes the graph first, PyTensor 3 does not."""
        node, input_shapes = arguments[-2:]
        return self.output_shapes(node, input_shapes)


class ForwardModeOp(VersionedOp):
    """An Op with a forward derivative, found under the names of every PyTensor.

    Subclasses define ``forward_derivative(inputs, tangents)``, where a tangent is None if the
    input does not move, and which returns None for outputs that do not.
    """

    def forward_derivative(
        self, inputs: Sequence[Variable], tangents: Sequence[Variable | None]
    ) -> list[Variable | None]:
        """Return the tangents of the outputs."""
        raise NotImplementedError

    def R_op(
        self, inputs: Sequence[Variable], eval_points: Sequence[Variable | None]
    ) -> list[Variable | None]:
        """Delegate to ``forward_derivative``; PyTensor 2 asks here."""
        moving = [
            None if point is None or isinstance(point.type, DisconnectedType) else point
            for point in eval_points
        ]
        return self.forward_derivative(inputs, moving)

    def pushforward(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        tangents: Sequence[Variable],
    ) -> list[Variable]:
        """Delegate to ``forward_derivative``; PyTensor 3 asks here."""
        results = self.R_op(inputs, tangents)
        return [disconnected_type() if x is None else x for x in results]


def numba_object_mode(op: Op, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    """Let Numba call ``op.perform``, without the warning that object mode is slow.

    The time goes into the compiled JAX kernel, so the warning would mislead. Constant inputs
    (observed data) stay outside Numba, which would copy them at every call.
    """
    from pytensor.link.numba.dispatch.basic import generate_fallback_impl, numba_njit

    moving = [i for i, x in enumerate(node.inputs) if not isinstance(x, Constant)]
    if not moving:
        moving = list(range(len(node.inputs)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Numba will use object mode")
        perform = generate_fallback_impl(_OfSomeInputs(op, node, moving), node=node, **kwargs)
    if len(moving) == len(node.inputs):
        return perform
    names = [f"x{i}" for i in range(len(node.inputs))]
    source = f"lambda {', '.join(names)}: perform({', '.join(names[i] for i in moving)})"
    return numba_njit(eval(source, {"perform": perform}))


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


class _OfSomeInputs:
    """What is performed by an Op, as a function of some of its inputs; the rest is constant."""

    def __init__(self, op: Op, node: Apply, moving: Sequence[int]) -> None:
        self._op = op
        self._moving = moving
        self._inputs = [x.data if isinstance(x, Constant) else None for x in node.inputs]

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: list[Any]) -> None:
        """Fill in the constants and perform the Op."""
        full = list(self._inputs)
        for position, value in zip(self._moving, inputs, strict=True):
            full[position] = value
        self._op.perform(node, full, output_storage)

    def __str__(self) -> str:
        return str(self._op)


@cache
def in_order() -> dict[str, str]:
    """Return the options with which XLA runs the loops of a function one after another.

    By default it hands those that do not depend on each other to threads, which takes longer than
    the loops of a log-density do: 20 of 50 microseconds for a small network. A large matrix
    product uses several threads in either case.
    """
    options = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda: 0.0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:  # The option has another name in this version of XLA.
        return {}
    return options
