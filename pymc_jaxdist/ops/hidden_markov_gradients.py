"""The recursions of hidden Markov models as an Op for PyTensor's Numba backend."""

from collections.abc import Callable, Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key
from pytensor.tensor.type import TensorType

__all__ = ["HiddenMarkovGradients"]


class HiddenMarkovGradients(Op):
    """Log-likelihoods of hidden Markov chains and the gradients of their sum, without Python.

    Only for code that Numba compiles: it stands inside what `hidden_markov_graph` makes.

    Parameters
    ----------
    states : int
        K.
    own_start, own_matrix, constant, padded : bool
        See `compiled_gradients`, which tells inputs and outputs too.
    """

    __props__ = ("constant", "own_matrix", "own_start", "padded", "states")

    def __init__(
        self, states: int, *, own_start: bool, own_matrix: bool, constant: bool, padded: bool
    ) -> None:
        self.states = states
        self.own_start = own_start
        self.own_matrix = own_matrix
        self.constant = constant
        self.padded = padded

    def make_node(self, *inputs: Any) -> Apply:
        variables = [pt.as_tensor_variable(x) for x in inputs]
        *by, order, _ = variables
        per_sequence = TensorType("float64", shape=order.type.shape)
        gradients = [x.type() for x in by]
        return Apply(self, variables, [per_sequence(), *gradients])

    def perform(
        self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]
    ) -> None:
        raise NotImplementedError("This Op is for PyTensor's Numba backend.")

    def do_constant_folding(self, fgraph: Any, node: Apply) -> bool:
        """Leave the recursions to the compiled function, also where nothing varies."""
        return False


@register_funcify_default_op_cache_key(HiddenMarkovGradients)
def numba_hidden_markov_gradients(
    op: HiddenMarkovGradients, node: Apply | None = None, **kwargs: Any
) -> tuple[Callable[..., Any], int]:
    """Return the compiled recursions, and a number by which Numba knows when they change."""
    # Here because they take a second to import, which only users of this backend need wait.
    from pymc_jaxdist.kernels.native.compilation import fingerprint
    from pymc_jaxdist.kernels.native.gradients import compiled_gradients

    how = op.own_start, op.own_matrix, op.constant, op.padded
    return compiled_gradients(op.states, *how), fingerprint()
