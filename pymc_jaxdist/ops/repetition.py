"""A vector repeated several times, for PyTensor's Numba backend.

`pytensor.tensor.tile` and indices do the same, but Numba takes several times as long to compile
them and their gradients.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.ops.compat import VersionedOp

__all__ = ["repeated"]


class Repeated(VersionedOp):
    """A vector of known length so many times, one behind the other."""

    __props__ = ("times",)

    def __init__(self, times: int) -> None:
        self.times = times

    def make_node(self, x: Any) -> Apply:
        vector = pt.as_tensor_variable(x)
        (length,) = vector.type.shape
        return Apply(self, [vector], [TensorType(vector.type.dtype, (length * self.times,))()])

    def perform(
        self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]
    ) -> None:
        output_storage[0][0] = np.tile(inputs[0], self.times)

    def output_shapes(
        self, node: Apply, input_shapes: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        return [tuple(node.outputs[0].type.shape)]

    def pullback(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        cotangents: Sequence[Variable],
    ) -> list[Variable]:
        return [SumOfRepetitions(self.times)(*cotangents)]


class SumOfRepetitions(VersionedOp):
    """The sum of the equal parts of which a vector of known length consists."""

    __props__ = ("times",)

    def __init__(self, times: int) -> None:
        self.times = times

    def make_node(self, x: Any) -> Apply:
        vector = pt.as_tensor_variable(x)
        (length,) = vector.type.shape
        return Apply(self, [vector], [TensorType(vector.type.dtype, (length // self.times,))()])

    def perform(
        self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]
    ) -> None:
        output_storage[0][0] = inputs[0].reshape(self.times, -1).sum(axis=0)

    def output_shapes(
        self, node: Apply, input_shapes: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        return [tuple(node.outputs[0].type.shape)]


def repeated(x: TensorVariable, times: int) -> TensorVariable:
    """Repeat a vector of known length.

    Parameters
    ----------
    x : TensorVariable, shape (n,)
    times : int

    Returns
    -------
    TensorVariable, shape (times * n,)

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> repeated(pt.constant([1.0, 2.0]), 2).eval()
    array([1., 2., 1., 2.])
    """
    result: TensorVariable = Repeated(times)(x)
    return result


@register_funcify_default_op_cache_key(Repeated)
def numba_repeated(op: Repeated, node: Apply | None = None, **kwargs: Any) -> Callable[..., Any]:
    """Return the compiled repetition."""
    times = op.times

    @numba_njit
    def repeated(x: Any) -> Any:
        length = len(x)
        out = np.empty(times * length, x.dtype)
        for i in range(times * length):
            out[i] = x[i % length]
        return out

    compiled: Callable[..., Any] = repeated
    return compiled


@register_funcify_default_op_cache_key(SumOfRepetitions)
def numba_sum_of_repetitions(
    op: SumOfRepetitions, node: Apply | None = None, **kwargs: Any
) -> Callable[..., Any]:
    """Return the compiled sum."""
    times = op.times

    @numba_njit
    def sum_of_repetitions(x: Any) -> Any:
        length = len(x) // times
        out = x[:length].copy()
        for i in range(length, times * length):
            out[i % length] += x[i]
        return out

    compiled: Callable[..., Any] = sum_of_repetitions
    return compiled
