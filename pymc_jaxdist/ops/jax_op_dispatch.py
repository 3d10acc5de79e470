"""How JAX functions run in JAX and Numba graphs, and how they are vectorised."""

from collections.abc import Callable
from typing import Any

import jax
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.replace import _vectorize_node
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.link.numba.dispatch.basic import numba_funcify

from pymc_jaxdist.ops.compat import numba_object_mode
from pymc_jaxdist.ops.flat_function import Vectorized
from pymc_jaxdist.ops.jax_op import JaxFunction
from pymc_jaxdist.ops.precision import require_double_precision

__all__: list[str] = []

DOUBLE = {"float64", "complex128"}


@jax_funcify.register(JaxFunction)
def jax_jax_function(
    op: JaxFunction, node: Apply | None = None, **kwargs: Any
) -> Callable[..., Any]:
    """Inline the function into the surrounding JAX function."""
    if node is not None and any(v.type.dtype in DOUBLE for v in (*node.inputs, *node.outputs)):
        require_double_precision()

    def call(*inputs: jax.Array) -> Any:
        results = op.function(*inputs)
        return results if len(results) > 1 else results[0]

    return call


@numba_funcify.register(JaxFunction)
def numba_jax_function(op: JaxFunction, node: Apply, **kwargs: Any) -> Callable[..., Any]:
    """Call the compiled function from Numba."""
    return numba_object_mode(op, node, **kwargs)


@_vectorize_node.register(JaxFunction)
def vectorize_jax_function(op: JaxFunction, node: Apply, *batched_inputs: Variable) -> Apply:
    """Add leading dimensions to a JAX function without a Python loop."""
    extra = [
        new.type.ndim - old.type.ndim for new, old in zip(batched_inputs, node.inputs, strict=True)
    ]
    ndim = max(extra, default=0)
    padded = [
        pt.expand_dims(x, axis=tuple(range(ndim - n))) if 0 < n < ndim else x
        for x, n in zip(batched_inputs, extra, strict=True)
    ]
    moving = [x for x, n in zip(padded, extra, strict=True) if n]
    batch_shape = [
        next((x.shape[axis] for x in moving if x.type.shape[axis] != 1), pt.constant(1))
        for axis in range(ndim)
    ]
    padded = [
        pt.broadcast_to(x, (*batch_shape, *tuple(x.shape)[ndim:])) if n else x
        for x, n in zip(padded, extra, strict=True)
    ]
    vectorized = Vectorized(op.function, ndim, tuple(n > 0 for n in extra))
    return JaxFunction(vectorized).make_node(*padded)
