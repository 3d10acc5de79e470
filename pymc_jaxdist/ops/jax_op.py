"""An Op for any JAX function: values, pullbacks and pushforwards of any order."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import jax
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.shape import Shape_i
from pytensor.tensor.type import TensorType

from pymc_jaxdist.ops.compat import ForwardModeOp
from pymc_jaxdist.ops.flat_function import Flat, Pullback, Pushforward
from pymc_jaxdist.ops.kernel_calls import CACHED_FUNCTIONS
from pymc_jaxdist.ops.kernel_op import KernelOp
from pymc_jaxdist.ops.output_layout import InputLayout, OutputLayout, output_layouts
from pymc_jaxdist.ops.processes import prepare_process_starts

__all__ = ["JaxFunction"]


class JaxFunction(KernelOp, ForwardModeOp):
    """A JAX function of arrays as an Op; its derivatives are Ops of the same kind.

    Parameters
    ----------
    function : callable
        ``(*arrays) -> tuple of arrays``, hashable by value and picklable.
    """

    __props__ = ("function",)

    # Decided by what the function does.
    in_one_piece = None

    def __init__(self, function: Flat) -> None:
        self.function = function

    @cached_property
    def compiled(self) -> Any:
        return _compiled(self.function)

    def make_node(self, *inputs: Any) -> Apply:
        prepare_process_starts()
        variables = [pt.as_tensor_variable(x) for x in inputs]
        outputs = [
            TensorType(layout.dtype, shape=layout.static_shape)()
            for layout in self._layouts(variables)
        ]
        return Apply(self, variables, outputs)

    def _layouts(self, inputs: Sequence[Variable]) -> tuple[OutputLayout, ...]:
        types: tuple[InputLayout, ...] = tuple((x.type.dtype, x.type.shape) for x in inputs)
        return output_layouts(self.function, types)

    def output_shapes(
        self, node: Apply, input_shapes: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        def length(n: int | tuple[int, int] | None, output: Variable, axis: int) -> Any:
            if isinstance(n, int):
                return pt.constant(n, dtype="int64")
            if n is not None:
                return input_shapes[n[0]][n[1]]
            return Shape_i(axis)(output)

        return [
            tuple(length(n, output, axis) for axis, n in enumerate(layout.lengths))
            for layout, output in zip(self._layouts(node.inputs), node.outputs, strict=True)
        ]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[is_real(x) and is_real(y) for y in node.outputs] for x in node.inputs]

    def pullback(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        cotangents: Sequence[Variable],
    ) -> list[Variable]:
        wrt = tuple(i for i, x in enumerate(inputs) if is_real(x))
        given = {
            i: g
            for i, (y, g) in enumerate(zip(outputs, cotangents, strict=True))
            if is_real(y) and not isinstance(g.type, DisconnectedType)
        }
        results: list[Variable] = [disconnected_type() for _ in inputs]
        if wrt and given:
            op = JaxFunction(Pullback(self.function, len(inputs), wrt, tuple(given)))
            gradients = op(*inputs, *given.values(), return_list=True)
            for i, gradient in zip(wrt, gradients, strict=True):
                results[i] = gradient
        return results

    def forward_derivative(
        self, inputs: Sequence[Variable], tangents: Sequence[Variable | None]
    ) -> list[Variable | None]:
        moving = {
            i: t
            for i, (x, t) in enumerate(zip(inputs, tangents, strict=True))
            if is_real(x) and t is not None
        }
        outputs = self.make_node(*inputs).outputs
        real = tuple(i for i, y in enumerate(outputs) if is_real(y))
        results: list[Variable | None] = [None] * len(outputs)
        if moving and real:
            op = JaxFunction(Pushforward(self.function, len(inputs), tuple(moving), real))
            derivatives = op(*inputs, *moving.values(), return_list=True)
            for i, derivative in zip(real, derivatives, strict=True):
                results[i] = derivative
        return results

    def __str__(self) -> str:
        return f"{type(self).__name__}{{{self.function}}}"


def is_real(variable: Variable) -> bool:
    """Tell whether a variable holds real numbers, which have derivatives."""
    return variable.type.dtype.startswith("float")


@lru_cache(maxsize=CACHED_FUNCTIONS)
def _compiled(function: Flat) -> Any:
    return jax.jit(function)
