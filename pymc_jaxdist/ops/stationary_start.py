"""Stationary initial probabilities as Ops for PyTensor's Numba backend."""

from collections.abc import Callable, Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key
from pytensor.tensor.type import TensorType

__all__ = ["StationaryPullback", "StationaryStart"]


class _InCompiledCode(Op):
    """An Op inside what `hidden_markov_graph` makes, which Numba compiles."""

    def perform(
        self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]
    ) -> None:
        raise NotImplementedError("This Op is for PyTensor's Numba backend.")

    def do_constant_folding(self, fgraph: Any, node: Apply) -> bool:
        """Leave it to the compiled function, also where nothing varies."""
        return False


class StationaryStart(_InCompiledCode):
    """The stationary distribution of a transition matrix.

    Parameters
    ----------
    own_matrix : bool
        See `compiled_stationary_distribution`, which tells input and output too.
    """

    __props__ = ("own_matrix",)

    def __init__(self, own_matrix: bool) -> None:
        self.own_matrix = own_matrix

    def make_node(self, transition_matrix: Any) -> Apply:
        matrix = pt.as_tensor_variable(transition_matrix)
        sequences = matrix.type.shape[:1] if self.own_matrix else ()
        shape = (*sequences, matrix.type.shape[-1])
        return Apply(self, [matrix], [TensorType("float64", shape)()])


class StationaryPullback(_InCompiledCode):
    """The cotangent of a transition matrix from that of its stationary distribution.

    See `compiled_pullback`.
    """

    __props__ = ()

    def make_node(self, transition_matrix: Any, cotangent: Any) -> Apply:
        matrix = pt.as_tensor_variable(transition_matrix)
        return Apply(self, [matrix, pt.as_tensor_variable(cotangent)], [matrix.type()])


@register_funcify_default_op_cache_key(StationaryStart)
def numba_stationary_start(
    op: StationaryStart, node: Apply | None = None, **kwargs: Any
) -> tuple[Callable[..., Any], int]:
    """Return the compiled function, and a number by which Numba knows when it changes."""
    from pymc_jaxdist.kernels.native.compilation import fingerprint
    from pymc_jaxdist.kernels.native.stationary import compiled_stationary_distribution

    return compiled_stationary_distribution(op.own_matrix), fingerprint()


@register_funcify_default_op_cache_key(StationaryPullback)
def numba_stationary_pullback(
    op: StationaryPullback, node: Apply | None = None, **kwargs: Any
) -> tuple[Callable[..., Any], int]:
    """Return the compiled function, and a number by which Numba knows when it changes."""
    from pymc_jaxdist.kernels.native.compilation import fingerprint
    from pymc_jaxdist.kernels.native.stationary import compiled_pullback

    return compiled_pullback(), fingerprint()
