"""Sums of elementwise operations, added up as the numbers are computed.

PyTensor 3 does so by itself. PyTensor 2 writes all numbers to memory and reads them again for each
sum, which is a third of the time of a hidden Markov model's gradient.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, cast

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.graph.traversal import ancestors
from pytensor.link.numba.cache import compile_numba_function_src
from pytensor.link.numba.dispatch.basic import (
    numba_funcify_and_cache_key,
    numba_njit,
    register_funcify_and_cache_key,
)
from pytensor.scalar import Composite, ScalarOp, get_scalar_type
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.math import Sum
from pytensor.tensor.type import TensorType

from pymc_jaxdist.kernels.native.addresses import arguments_do_not_overlap

__all__ = ["SumAsComputed", "SumsOfElementwise"]

NAME = "sums_of_elementwise"
NAME_OF_LOOP = "add_to_sums"


class SumsOfElementwise(Op):
    """The sums over the first axes of what an elementwise operation gives.

    Parameters
    ----------
    scalar_op : ScalarOp
        The operation.
    axes : int
        So many of the first axes are summed.
    """

    __props__ = ("scalar_op", "axes")

    def __init__(self, scalar_op: ScalarOp, axes: int) -> None:
        self.scalar_op = scalar_op
        self.axes = axes

    def make_node(self, *inputs: Any) -> Apply:
        elementwise = Elemwise(self.scalar_op).make_node(*map(pt.as_tensor_variable, inputs))
        sums = [TensorType(x.type.dtype, x.type.shape[self.axes :])() for x in elementwise.outputs]
        return Apply(self, elementwise.inputs, sums)

    def perform(
        self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]
    ) -> None:
        elementwise = Elemwise(self.scalar_op).make_node(*node.inputs)
        elements: list[list[Any]] = [[None] for _ in output_storage]
        elementwise.op.perform(elementwise, inputs, elements)
        for storage, (numbers,) in zip(output_storage, elements, strict=True):
            storage[0] = numbers.sum(axis=tuple(range(self.axes)))


class SumAsComputed(GraphRewriter):
    """Sum what elementwise operations give without storing it, where nothing else reads it."""

    def apply(self, fgraph: FunctionGraph) -> None:
        sums: list[Apply] = []
        for node in fgraph.toposort():
            axes = _summed_axes(fgraph, node)
            if axes:
                sums.append(_sum_as_computed(fgraph, node, axes))
        _sum_in_the_same_loop(fgraph, sums)


def _summed_axes(fgraph: FunctionGraph, node: Apply) -> int:
    """Return over how many of its first axes all readers of an elementwise operation sum."""
    if not isinstance(node.op, Elemwise):
        return 0
    readers = [reader for x in node.outputs for reader, _ in fgraph.clients[x]]
    if any(x.type.dtype != "float64" for x in node.outputs) or not readers:
        return 0
    return min(map(_leading_axes, readers))


def _leading_axes(reader: Apply) -> int:
    """Return over how many of the first axes a node sums, all but the last at most."""
    if type(reader.op) is not Sum or reader.outputs[0].type.dtype != "float64":
        return 0
    ndim = reader.inputs[0].type.ndim
    axes = range(ndim) if reader.op.axis is None else reader.op.axis
    return next(k for k in range(ndim + 1) if k not in axes or k == ndim - 1)


def _sum_as_computed(fgraph: FunctionGraph, node: Apply, axes: int) -> Apply:
    sums = SumsOfElementwise(node.op.scalar_op, axes).make_node(*node.inputs)
    for elements, partial in zip(node.outputs, sums.outputs, strict=True):
        for reader, _ in list(fgraph.clients[elements]):
            ndim = elements.type.ndim
            summed = range(ndim) if reader.op.axis is None else reader.op.axis
            remaining = tuple(axis - axes for axis in summed if axis >= axes)
            total = Sum(axis=remaining)(partial) if remaining else partial
            fgraph.replace(reader.outputs[0], total, import_missing=True)
    return sums


def _sum_in_the_same_loop(fgraph: FunctionGraph, sums: list[Apply]) -> None:
    """Let sums over arrays of the same shape share a loop, and what they read."""
    loops: list[Apply] = []
    for node in sums:
        other = next((loop for loop in loops if _may_share_loop(loop, node)), None)
        if other is None:
            loops.append(node)
            continue
        both = _both(other, node)
        replacements = zip([*other.outputs, *node.outputs], both.outputs, strict=True)
        fgraph.replace_all(list(replacements), import_missing=True)
        loops[loops.index(other)] = both


def _may_share_loop(first: Apply, second: Apply) -> bool:
    shapes = [_shape_of_loop(node) for node in (first, second)]
    return (
        first.op.axes == second.op.axes
        and shapes[0] == shapes[1]
        and None not in shapes[0]
        and not set(first.outputs) & set(ancestors(second.inputs))
        and not set(second.outputs) & set(ancestors(first.inputs))
    )


def _shape_of_loop(node: Apply) -> tuple[int | None, ...]:
    return cast(
        tuple[int | None, ...],
        Elemwise(node.op.scalar_op).make_node(*node.inputs).outputs[0].type.shape,
    )


def _both(first: Apply, second: Apply) -> Apply:
    """Return a node that gives what two give."""
    inputs = list(dict.fromkeys([*first.inputs, *second.inputs]))
    scalars = {x: get_scalar_type(x.type.dtype)() for x in inputs}
    results: list[Variable] = []
    for node in (first, second):
        own = [scalars[x] for x in node.inputs]
        op = node.op.scalar_op
        if isinstance(op, Composite):
            results += clone_replace(op.outputs, dict(zip(op.inputs, own, strict=True)))
        else:
            results += op.make_node(*own).outputs
    operation = Composite([scalars[x] for x in inputs], results)
    return SumsOfElementwise(operation, first.op.axes).make_node(*inputs)


@register_funcify_and_cache_key(SumsOfElementwise)
def numba_sums_of_elementwise(
    op: SumsOfElementwise, node: Apply, **kwargs: Any
) -> tuple[Callable[..., Any], str | None]:
    """Return the compiled loop, and the key under which it can be kept on disk."""
    scalars = op.scalar_op.make_node(*(get_scalar_type(x.type.dtype)() for x in node.inputs))
    operation, key = numba_funcify_and_cache_key(op.scalar_op, node=scalars, **kwargs)
    add_source, source = _sources(node)
    names = {"arguments_do_not_overlap": arguments_do_not_overlap, "operation": operation}
    add = numba_njit(compile_numba_function_src(add_source, NAME_OF_LOOP, names))
    compiled = compile_numba_function_src(source, NAME, {"add": add, "zeros": np.zeros})
    if key is not None:
        key = sha256(f"{key} {add_source} {source}".encode()).hexdigest()
    return numba_njit(compiled), key


def _sources(node: Apply) -> tuple[str, str]:
    """Write the loop, and the function around it that makes the arrays for the sums."""
    inputs = [f"x{i}" for i in range(len(node.inputs))]
    sums = [f"sum{i}" for i in range(len(node.outputs))]
    terms = [f"term{i}" for i in range(len(node.outputs))]
    broadcastable = dict(zip(inputs, [x.type.broadcastable for x in node.inputs], strict=True))
    axes = range(node.inputs[0].type.ndim)
    with_axis = [[x for x in inputs if not broadcastable[x][axis]] for axis in axes]
    lengths = [f"{own[0]}.shape[{axis}]" if own else "1" for axis, own in enumerate(with_axis)]

    def number(x: str) -> str:
        index = ("0" if ones else f"i{axis}" for axis, ones in enumerate(broadcastable[x]))
        return f"{x}[{', '.join(index)}]"

    kept = axes[node.op.axes :]
    place = ", ".join(f"i{axis}" for axis in kept)
    inside = "    " * (1 + len(axes))
    loop = [
        f"def {NAME_OF_LOOP}({', '.join([*inputs, *sums])}):",
        "    arguments_do_not_overlap()",
        *(f"{'    ' * (1 + axis)}for i{axis} in range({lengths[axis]}):" for axis in axes),
        f"{inside}{', '.join(terms)} = operation({', '.join(map(number, inputs))})",
        *(f"{inside}{x}[{place}] += {term}" for x, term in zip(sums, terms, strict=True)),
    ]
    shape = "".join(f"{lengths[axis]}, " for axis in kept)
    around = [f"def {NAME}({', '.join(inputs)}):"]
    for axis in axes:
        for x in with_axis[axis][1:]:
            around += [
                f"    if {x}.shape[{axis}] != {lengths[axis]}:",
                f"        raise ValueError('Inputs have different lengths along axis {axis}.')",
            ]
    around += [
        *(f"    {x} = zeros(({shape}))" for x in sums),
        f"    add({', '.join([*inputs, *sums])})",
        f"    return {', '.join(sums)}",
    ]
    return "\n".join(loop), "\n".join(around)
