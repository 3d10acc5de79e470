"""How Ops that are PyTensor's, or made of them, run in JAX and Numba graphs."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.link.numba.dispatch.random import numba_core_rv_funcify
from pytensor.scalar.math import Erfcx
from pytensor.tensor.elemwise import Elemwise

from pymc_jaxdist.ops.finite_derivatives import FiniteDerivativeElemwise
from pymc_jaxdist.ops.unit_random import UnitRandom

__all__: list[str] = []


@jax_funcify.register(Erfcx)
def jax_erfcx(op: Op, **kwargs: Any) -> Callable[..., Any]:
    """Evaluate normal tails (Truncated, Censored) in JAX.

    PyTensor 2.38 looks for the function only in TensorFlow Probability, PyTensor 3 in JAX.
    """
    return jax.scipy.special.erfcx


@jax_funcify.register(FiniteDerivativeElemwise)
def jax_finite_derivative_elemwise(
    op: FiniteDerivativeElemwise, node: Apply, **kwargs: Any
) -> Callable[..., Any]:
    """Differentiate an elementwise operation with infinite derivatives counted as 0."""
    operation = jax_funcify.dispatch(Elemwise)(op, node=node, **kwargs)
    differentiable = jax.custom_jvp(operation)

    def jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
        result = operation(*primals)
        total = jnp.zeros_like(result)
        for position, (primal, tangent) in enumerate(zip(primals, tangents, strict=True)):
            # Not every operation has a derivative in every argument (betainc); ask for none
            # that is not needed.
            if isinstance(tangent, SymbolicZero):
                continue

            def of_one(x: jax.Array, position: int = position) -> jax.Array:
                return operation(*primals[:position], x, *primals[position + 1 :])

            _, derivative = jax.jvp(of_one, (primal,), (jnp.ones_like(primal),))
            total += jnp.where(jnp.isfinite(derivative), derivative, 0.0) * tangent
        return result, total

    differentiable.defjvp(jvp, symbolic_zeros=True)
    return differentiable


@numba_core_rv_funcify.register(UnitRandom)
def numba_unit_random(op: UnitRandom, node: Any) -> Callable[..., Any]:
    """Leave draws to ``rng_fn``, which Numba calls; not worth the warning it gives."""
    warnings.filterwarnings("ignore", message="Numba will use object mode to run UnitRandom")
    raise NotImplementedError
