"""Calling from Python what Numba compiled from the graph of a log-density.

PyTensor's C backend calls every Op from Python. The graph takes half to two thirds of the time of
the JAX kernel, but longer to compile.
"""

import ctypes
import math
import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np
from pytensor.graph.basic import Apply, Constant

from pymc_jaxdist.ops.backend import keep_memory
from pymc_jaxdist.ops.processes import refuse_hanging_fork

__all__ = ["CallOfGraph", "call_of_graph"]

# Sequences times times times states. The graph takes some four seconds longer to compile than the
# kernel the first time on a machine, about one when it is found on the disk, and saves two to five
# nanoseconds a number (measured from 1 x 5000 x 4 to 5000 x 50 x 3). At this size the 50,000
# evaluations of a run of four chains repay the first compilation.
SMALLEST_EVALUATION = 2**14


class CallOfGraph:
    """A call of a compiled graph with NumPy arrays.

    Parameters
    ----------
    function : numba cfunc
        As in `NativeGraph`.
    node : Apply
        Whose constant inputs are part of the graph.
    shaped_like : sequence of int
        For each output, the position of an input that has its shape, perhaps with more axes to
        the right.
    """

    def __init__(self, function: Any, node: Apply, shaped_like: Sequence[int]) -> None:
        self._compiled = function  # lives as long as what calls it
        self._function = function.ctypes
        self._moving = [i for i, x in enumerate(node.inputs) if not isinstance(x, Constant)]
        self._outputs = [(i, y.type.ndim) for i, y in zip(shaped_like, node.outputs, strict=True)]

    def __call__(self, inputs: Sequence[Any]) -> tuple[list[np.ndarray], bool]:
        """Return the outputs, and whether all numbers in them are finite.

        Parameters
        ----------
        inputs : sequence of array
            All inputs of the node; those that are constant are not looked at.
        """
        given = [np.ascontiguousarray(inputs[i]) for i in self._moving]
        outputs = [np.empty(inputs[i].shape[:ndim]) for i, ndim in self._outputs]
        table: list[int] = []
        for x in (*given, *outputs):
            table += (x.__array_interface__["data"][0], *x.shape)
        words = (ctypes.c_int64 * len(table))(*table)
        return outputs, bool(self._function(ctypes.addressof(words)))


def call_of_graph(op: Any, node: Apply, inputs: Sequence[Any]) -> CallOfGraph | None:
    """Return the call of a node's graph if there is one, and evaluations are worth it.

    Parameters
    ----------
    op : LogDensity
        Of a kernel that may have a graph.
    node : Apply
    inputs : sequence of array
        Of the first evaluation, whose size decides for all.
    """
    try:
        return _calls[node]
    except KeyError:
        with _calls_lock:
            if node not in _calls:
                _calls[node] = _compiled(op, node, inputs)
        return _calls[node]


_calls: WeakKeyDictionary[Apply, CallOfGraph | None] = WeakKeyDictionary()
_calls_lock = threading.Lock()


def _compiled(op: Any, node: Apply, inputs: Sequence[Any]) -> CallOfGraph | None:
    from pymc_jaxdist.ops.hidden_markov_graph import graph_of_log_density
    from pymc_jaxdist.ops.numba_of_graph import native_graph

    value, transition_matrix, *_ = inputs
    sequences_and_times = value.shape[: op.batch_ndim + 1]
    if math.prod(sequences_and_times) * transition_matrix.shape[-1] < SMALLEST_EVALUATION:
        return None
    refuse_hanging_fork()
    keep_memory()
    if jax.default_backend() != "cpu":  # on an accelerator the kernel is quicker
        return None
    graph = graph_of_log_density(op, node)
    native = None if graph is None else native_graph(node, graph)
    return None if native is None else CallOfGraph(native.function, node, op.shaped_like)
