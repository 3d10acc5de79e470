"""How the Ops run in JAX and Numba graphs, and how they are vectorised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.replace import _vectorize_node
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.link.numba.dispatch.basic import numba_funcify, register_funcify_and_cache_key

from pymc_jaxdist.ops.compat import numba_object_mode
from pymc_jaxdist.ops.hidden_markov_graph import graph_of_log_density
from pymc_jaxdist.ops.kernel_calls import Kernel
from pymc_jaxdist.ops.log_density import (
    LogDensity,
    LogDensityHessianProduct,
    LogDensityPullback,
)
from pymc_jaxdist.ops.numba_of_graph import numba_of_graph
from pymc_jaxdist.ops.precision import require_double_precision

__all__ = ["VectorizedKernel"]


@jax_funcify.register(LogDensity)
@jax_funcify.register(LogDensityPullback)
@jax_funcify.register(LogDensityHessianProduct)
def jax_log_density(op: Any, node: Apply | None = None, **kwargs: Any) -> Callable[..., Any]:
    """Inline the kernel into the surrounding JAX function, which may differentiate it."""
    require_double_precision()
    compiled = op.compiled

    def call(*inputs: jax.Array) -> Any:
        results = compiled(*inputs)
        return results if len(results) > 1 else results[0]

    return call


@numba_funcify.register(LogDensityPullback)
@numba_funcify.register(LogDensityHessianProduct)
def numba_kernel(op: Any, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    """Call the compiled kernel from Numba."""
    return numba_object_mode(op, node, **kwargs)


@register_funcify_and_cache_key(LogDensity)
def numba_log_density(
    op: LogDensity, node: Apply, **kwargs: Any
) -> tuple[Callable[..., Any], str | None]:
    """Compile a hidden Markov model by Numba where it can do all of it; call the kernel else.

    The second result is the key under which it can be kept on disk.
    """
    graph = graph_of_log_density(op, node)
    native = None if graph is None else numba_of_graph(op, node, graph, op.shaped_like)
    return native or (numba_object_mode(op, node, **kwargs), None)


@dataclass(frozen=True)
class VectorizedKernel:
    """A kernel over ``ndim`` more leading dimensions of every input."""

    kernel: Kernel
    ndim: int

    def __call__(self, *inputs: jax.Array) -> jax.Array:
        vectorized = self.kernel
        for _ in range(self.ndim):
            vectorized = jax.vmap(vectorized)
        return vectorized(*inputs)

    def __str__(self) -> str:
        return str(self.kernel)


@_vectorize_node.register(LogDensity)
def vectorize_log_density(op: LogDensity, node: Apply, *batched_inputs: Variable) -> Apply:
    """Add leading dimensions to a log-density without a Python loop.

    All inputs are broadcast, so that the gradient of the sum is that of each unit by itself.
    """
    extra = [
        new.type.ndim - old.type.ndim for new, old in zip(batched_inputs, node.inputs, strict=True)
    ]
    ndim = max(extra)
    padded = [
        pt.expand_dims(x, axis=tuple(range(ndim - n))) if n < ndim else x
        for x, n in zip(batched_inputs, extra, strict=True)
    ]
    batch_shape = [_batch_length(padded, axis) for axis in range(ndim)]
    if ndim:
        padded = [pt.broadcast_to(x, (*batch_shape, *tuple(x.shape)[ndim:])) for x in padded]
    vectorized = LogDensity(
        VectorizedKernel(op.kernel, ndim), op.batch_ndim + ndim, op.differentiable, op.wrt
    )
    return vectorized.make_node(*padded)


def _batch_length(variables: list[Variable], axis: int) -> Variable:
    """Return the length of a batch dimension, from an input that really has it."""
    return next((x.shape[axis] for x in variables if x.type.shape[axis] != 1), pt.constant(1))
