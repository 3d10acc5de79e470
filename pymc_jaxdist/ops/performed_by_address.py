"""Performing an Op from code that Numba compiled, with arrays that are told by their addresses.

Numba can call Python itself, in its object mode, but keeps nothing on disk that does so: a model
would be compiled again in each process. A function at an address it can call from code that was
kept.
"""

import ctypes
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np
from pytensor.graph.basic import Apply, Constant
from pytensor.tensor.type import TensorType

__all__ = ["OpWithGraph", "PerformedByAddress", "function_of_addresses"]


class OpWithGraph(Protocol):
    """An Op that a graph computes too, but not everywhere."""

    def settled(self, inputs: Sequence[Any], outputs: Sequence[np.ndarray]) -> bool:
        """Tell whether what the graph gave is known to be right; it may be corrected in place."""

    def call_kernel(self, node: Apply, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Return the outputs, computed without the graph."""


class PerformedByAddress:
    """An Op that compiled code performs for as long as this object is there.

    Parameters
    ----------
    op : OpWithGraph
    node : Apply
        Inputs that are constant are not passed.
    identity : int
        By which the code asks for it. Two of the same identity do the same.
    """

    def __init__(self, op: OpWithGraph, node: Apply, identity: int) -> None:
        self._op = op
        self._node = node
        _performed.setdefault(identity, WeakSet()).add(self)

    def perform(self, table: int) -> None:
        """Perform the Op, unless it knows better.

        Parameters
        ----------
        table : int
            Where the addresses and lengths of the inputs, and then of the outputs, begin. All
            arrays are contiguous; the outputs hold what the graph gave.
        """
        moving = [x for x in self._node.inputs if not isinstance(x, Constant)]
        arrays = _arrays([x.type for x in [*moving, *self._node.outputs]], table)
        inputs = [
            # A copy, because some Ops remember what they were called with.
            x.data if isinstance(x, Constant) else next(arrays).copy()
            for x in self._node.inputs
        ]
        outputs = list(arrays)
        if self._op.settled(inputs, outputs):
            return
        computed = self._op.call_kernel(self._node, inputs)
        for output, result in zip(outputs, computed, strict=True):
            output[...] = result


_performed: dict[int, WeakSet[PerformedByAddress]] = {}


def _arrays(kinds: Sequence[TensorType], table: int) -> Iterator[np.ndarray]:
    for kind in kinds:
        address, *shape = (ctypes.c_int64 * (1 + kind.ndim)).from_address(table)
        table += 8 * (1 + kind.ndim)
        dtype = np.dtype(kind.dtype)
        size = max(int(np.prod(shape)) * dtype.itemsize, 1)
        yield np.ndarray(shape, dtype, buffer=(ctypes.c_char * size).from_address(address))


@ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
def _perform(identity: int, table: int) -> int:
    from pymc_jaxdist.kernels.native.compilation import uninterrupted

    op = next(iter(_performed[identity]))
    try:
        uninterrupted(lambda: op.perform(table))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def function_of_addresses() -> Any:
    """Return what compiled code calls: with an identity and a table, it returns 0 if all is well.

    Exceptions cannot pass through compiled code. They are printed; interrupts come later, see
    `uninterrupted`.
    """
    from pymc_jaxdist.kernels.native.compilation import called_by_symbol

    address = ctypes.cast(_perform, ctypes.c_void_p).value or 0
    return called_by_symbol("pymc_jaxdist_perform", "int64(int64, int64)", address)
