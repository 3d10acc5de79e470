"""Compiled JAX functions of a kernel: its value, gradients, pullback and Hessian product.

A *kernel* here is any hashable, picklable callable of JAX arrays that returns log-densities,
one per independent unit (sequence, subject, row). Compiled functions are cached by the kernel's
value, never kept on an Op, so that Ops stay small to pickle and equal models share them.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

__all__ = [
    "Kernel",
    "guarded",
    "hessian_product",
    "how_many",
    "pullback",
    "value_and_gradients",
    "value_gradients_and_count",
    "with_count",
    "with_gradients",
]

Kernel = Callable[..., jax.Array]

# Enough for the models of a long notebook; the oldest compiled functions are dropped beyond it.
CACHED_FUNCTIONS = 256


def guarded(
    kernel: Kernel, differentiable: Sequence[int], *, may_be_undecided: bool = False
) -> Kernel:
    """Wrap a kernel so that failure is ``-inf`` with a finite gradient, never NaN.

    Parameters
    ----------
    kernel : callable
        JAX arrays to log-densities ``(...)``.
    differentiable : sequence of int
        Positions of the inputs that have a gradient.
    may_be_undecided : bool
        Whether NaN is the kernel's way to say that it does not know, and stays NaN.

    Returns
    -------
    callable
        The same function, where a NaN or +inf density is ``-inf``, where units of density
        ``-inf`` contribute no gradient, and where NaN left by ``0 * inf`` beside such a unit, or
        by an infinite input, is 0.
    """
    differentiable = tuple(differentiable)

    def impossible_is_minus_infinity(value: jax.Array) -> jax.Array:
        known = jnp.isfinite(value)
        return jnp.where(known | jnp.isnan(value) if may_be_undecided else known, value, -jnp.inf)

    @jax.custom_vjp
    def safe_kernel(moving: tuple[Any, ...], fixed: tuple[Any, ...]) -> jax.Array:
        return impossible_is_minus_infinity(kernel(*_interleave(moving, fixed, differentiable)))

    def forward(moving: tuple[Any, ...], fixed: tuple[Any, ...]) -> tuple[Any, ...]:
        # Only gradients that somebody asks for are computed: not by the observations, usually.
        asked = tuple(i for i, x in zip(differentiable, moving, strict=True) if x.perturbed)
        values = tuple(x.value for x in moving)
        inputs = _interleave(values, tuple(x.value for x in fixed), differentiable)
        value, transpose = jax.vjp(_of_selected(kernel, inputs, asked), *(inputs[i] for i in asked))
        value = impossible_is_minus_infinity(value)
        # At an infinite weight or rate the density may be finite, and its slope 0 * inf.
        all_finite = [jnp.all(jnp.isfinite(inputs[i])) for i in asked]
        at_a_number = jnp.all(jnp.stack(all_finite)) if asked else jnp.asarray(True)
        # The positions travel as keys, which belong to the structure and not to the arrays.
        return value, (transpose, jnp.isfinite(value), at_a_number, dict.fromkeys(asked))

    def backward(residuals: tuple[Any, ...], cotangent: Any) -> tuple[Any, ...]:
        transpose, possible, at_a_number, asked = residuals
        if isinstance(cotangent, SymbolicZero):
            cotangent = jnp.zeros(cotangent.shape, cotangent.dtype)
        gradients = transpose(jnp.where(possible, cotangent, 0.0))
        # NaN for any other reason is a mistake of the function, and must not be hidden.
        as_it_is = jnp.all(possible) & at_a_number
        finite = dict(
            zip(
                asked,
                (jnp.where(as_it_is | jnp.isfinite(g), g, 0.0) for g in gradients),
                strict=True,
            )
        )
        return tuple(finite.get(i) for i in differentiable), None

    safe_kernel.defvjp(forward, backward, symbolic_zeros=True)

    def with_flat_arguments(*inputs: jax.Array) -> jax.Array:
        moving = tuple(jnp.asarray(inputs[i]) for i in differentiable)
        fixed = tuple(x for i, x in enumerate(inputs) if i not in differentiable)
        return safe_kernel(moving, fixed)

    return with_flat_arguments


def _interleave(
    moving: tuple[Any, ...], fixed: tuple[Any, ...], differentiable: tuple[int, ...]
) -> tuple[Any, ...]:
    moving_iterator, fixed_iterator = iter(moving), iter(fixed)
    return tuple(
        next(moving_iterator) if i in differentiable else next(fixed_iterator)
        for i in range(len(moving) + len(fixed))
    )


def _of_selected(
    function: Callable[..., Any], inputs: Sequence[Any], wrt: tuple[int, ...]
) -> Callable[..., Any]:
    """Return a function as one of some of its inputs."""

    def _of_selected(*selected: jax.Array) -> Any:
        full = list(inputs)
        for position, argument in zip(wrt, selected, strict=True):
            full[position] = argument
        return function(*full)

    return _of_selected


def with_gradients(
    function: Kernel, inputs: Sequence[jax.Array], wrt: tuple[int, ...]
) -> tuple[jax.Array, ...]:
    """Return the value of a function and the gradients of its sum by some of its inputs."""
    if not wrt:
        return (function(*inputs),)
    value, transpose = jax.vjp(_of_selected(function, inputs, wrt), *(inputs[i] for i in wrt))
    return value, *transpose(jnp.ones_like(value))


@lru_cache(maxsize=CACHED_FUNCTIONS)
def value_and_gradients(
    kernel: Kernel, differentiable: tuple[int, ...], wrt: tuple[int, ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    """Return the compiled ``(*inputs) -> (value, *gradients of the summed value)``."""
    safe_kernel = guarded(kernel, differentiable)
    return jax.jit(lambda *inputs: with_gradients(safe_kernel, inputs, wrt))


def with_count(value: jax.Array, *more: jax.Array) -> tuple[jax.Array, ...]:
    """Return the same and, last, how many of the log-densities are ``-inf``."""
    return value, *more, how_many(jnp.isneginf(value))


def how_many(flags: jax.Array) -> jax.Array:
    """Count flags, as a floating number."""
    return jnp.sum(flags, dtype=float)


@lru_cache(maxsize=CACHED_FUNCTIONS)
def value_gradients_and_count(
    kernel: Kernel, differentiable: tuple[int, ...], wrt: tuple[int, ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    """Return the compiled ``(*inputs) -> (value, *gradients, how many units are impossible)``."""
    safe_kernel = guarded(kernel, differentiable)
    return jax.jit(lambda *inputs: with_count(*with_gradients(safe_kernel, inputs, wrt)))


@lru_cache(maxsize=CACHED_FUNCTIONS)
def pullback(
    kernel: Kernel, differentiable: tuple[int, ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    """Return the compiled ``(*inputs, cotangent) -> gradients of sum(cotangent * value)``."""
    safe_kernel = guarded(kernel, differentiable)

    def call(*inputs_and_cotangent: jax.Array) -> tuple[jax.Array, ...]:
        *inputs, cotangent = inputs_and_cotangent
        value, transpose = jax.vjp(
            _of_selected(safe_kernel, inputs, differentiable),
            *(inputs[i] for i in differentiable),
        )
        return transpose(jnp.broadcast_to(cotangent, value.shape))

    return jax.jit(call)


@lru_cache(maxsize=CACHED_FUNCTIONS)
def hessian_product(
    kernel: Kernel, differentiable: tuple[int, ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    """Return the compiled ``(*inputs, weights, *directions) -> Hessian of sum(weights * value)``.

    The result is the product of that Hessian with the directions, one array per differentiable
    input. A Hessian is symmetric, so that the forward derivative of the gradient serves as its
    pullback; forward over reverse also passes the ``while_loop`` of kernels with a fallback.
    """
    compiled_pullback = pullback(kernel, differentiable)
    n_directions = len(differentiable)

    def call(*arguments: jax.Array) -> tuple[jax.Array, ...]:
        *inputs, weights = arguments[:-n_directions]
        directions = arguments[-n_directions:]
        gradient = _of_selected(
            lambda *full: compiled_pullback(*full, weights), inputs, differentiable
        )
        moving = tuple(inputs[i] for i in differentiable)
        return jax.jvp(gradient, moving, directions)[1]

    return jax.jit(call)
