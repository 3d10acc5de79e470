"""What differs between PyTensor 2.38 and 3.x: the only file that knows versions."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.link.numba.dispatch.basic import generate_fallback_impl
from pytensor.scalar.math import Erfcx

__all__ = ["VersionedOp", "dfs_rewriter", "numba_object_mode"]


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

    def output_shapes(self, node: Apply, input_shapes: Sequence[tuple]) -> list[tuple]:
        """Return one symbolic shape per output."""
        raise NotImplementedError

    def infer_shape(self, *arguments: Any) -> list[tuple]:
        """Delegate to ``output_shapes``: PyTensor 2 passes the graph first, PyTensor 3 does not."""
        node, input_shapes = arguments[-2:]
        return self.output_shapes(node, input_shapes)


def numba_object_mode(op: Op, node: Apply, **kwargs: Any) -> Callable:
    """Let Numba call ``op.perform``, without the warning that object mode is slow.

    The time goes into the compiled JAX kernel, so the warning would mislead.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Numba will use object mode")
        return generate_fallback_impl(op, node=node, **kwargs)


@jax_funcify.register(Erfcx)
def _jax_erfcx(op: Op, **kwargs: Any) -> Callable:
    """Evaluate normal tails (Truncated, Censored) in JAX.

    PyTensor 2.38 looks for the function only in TensorFlow Probability, PyTensor 3 in JAX.
    """
    return jax.scipy.special.erfcx
