"""What differs between PyTensor 2.38 and 3.x: the only file that knows versions."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter

try:
    from pytensor.compile.aliasing import add_supervisor_to_fgraph
except ImportError:  # PyTensor 2
    from pytensor.compile.function.types import add_supervisor_to_fgraph

__all__ = [
    "ForwardModeOp",
    "VersionedOp",
    "add_supervisor_to_fgraph",
    "barriers_end_before_fusion",
    "compiler_options",
    "dfs_rewriter",
    "flags_of_small_loops",
    "numba_object_mode",
    "reductions_are_costly",
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


def numba_object_mode(op: Any, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    """Let Numba call ``op.evaluation``, without the warning that object mode is slow.

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


class _OfSomeInputs:
    """What is performed by an Op, as a function of some of its inputs; the rest is constant."""

    def __init__(self, op: Any, node: Apply, moving: Sequence[int]) -> None:
        self._op = op
        self._evaluate: Callable[[Sequence[Any]], Sequence[Any]] | None = None
        self._moving = moving
        self._inputs = [x.data if isinstance(x, Constant) else None for x in node.inputs]

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: list[Any]) -> None:
        """Fill in the constants and perform the Op."""
        full = list(self._inputs)
        for position, value in zip(self._moving, inputs, strict=True):
            full[position] = value
        if self._evaluate is None:
            self._evaluate = self._op.evaluation(node, full)
        for storage, result in zip(output_storage, self._evaluate(full), strict=True):
            storage[0] = result

    def __str__(self) -> str:
        return str(self._op)


def compiler_options(optimization_level: int = 3) -> dict[str, Any]:
    """Return the options with which XLA compiles a function for the processor.

    It runs the loops of a function one after another. By default it hands those that do not depend
    on each other to threads, which takes longer than the loops of a log-density do: 20 of 50
    microseconds for a small network. A large matrix product uses several threads in either case.

    Parameters
    ----------
    optimization_level : int
        How much LLVM does for quick code, from 0 to 3.
    """
    if jax.default_backend() != "cpu":
        return {}
    options = {"xla_backend_optimization_level": optimization_level}
    return {**options, **_in_order()}


@cache
def _in_order() -> dict[str, Any]:
    options = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    if jax.__version_info__ < (0, 13):  # Asking takes a twentieth of a second.
        return options
    try:
        jax.jit(lambda: 0.0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:  # The option has another name in this version of XLA.
        return {}
    return options


def flags_of_small_loops() -> dict[str, str]:
    """Return the flags with which XLA makes one piece of code of a loop over small arrays.

    Newer versions do so by themselves. JAX 0.10 does for arrays of 1,024 bytes: the loop of a
    solver is then a hundred pieces, and its gradient takes seven times as long. The record of two
    thousand steps of twenty states, for derivatives in reverse, is 320,000 bytes.
    """
    if jax.__version_info__ >= (0, 12):
        return {}
    return {"xla_backend_extra_options": f"xla_cpu_small_while_loop_byte_threshold={2**20}"}


def barriers_end_before_fusion() -> bool:
    """Tell whether XLA removes optimization barriers before it fuses operations.

    Then nothing but a loop keeps it from computing an expression in each place that reads it.
    """
    return jax.__version_info__ < (0, 12)


def reductions_are_costly() -> bool:
    """Tell whether sums of a few numbers are better written out for XLA.

    Each reduction costs half a microsecond at every call of a program. Older versions put what is
    written out into every place that reads it: a step of 20 states then takes a third longer.
    """
    return jax.__version_info__ >= (0, 12) and jax.default_backend() == "cpu"
