"""Kernels that are tried in two ways: the second is compiled when some unit first needs it.

Where PyTensor calls a kernel from the host, the call is in two programs. A model whose equations
are not stiff never waits for the compiler to be done with a method for stiff ones.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.ops.kernel_calls import CACHED_FUNCTIONS, Kernel, guarded, with_gradients
from pymc_jaxdist.ops.packed_call import packed_call

__all__ = ["CallInAttempts", "TwoAttempts", "is_in_two_attempts"]


class TwoAttempts(Protocol):
    """What a kernel offers that can be computed in two attempts, besides in one call."""

    @property
    def in_two_attempts(self) -> bool:
        """Whether it has two."""

    def first_attempt(self, *inputs: jax.Array) -> jax.Array:
        """Return what the kernel returns, NaN for units that are left to the second attempt."""

    def second_attempt(self, first: jax.Array, *inputs: jax.Array) -> jax.Array:
        """Return what the kernel returns for units that are NaN in `first`, anything for others.

        The derivatives of the others must be zero.
        """


def is_in_two_attempts(kernel: Kernel) -> bool:
    """Tell whether a kernel is tried in two ways."""
    return bool(getattr(kernel, "in_two_attempts", False))


class CallInAttempts:
    """A log-density with its gradients, called in attempts.

    Parameters
    ----------
    kernel : TwoAttempts
    differentiable, wrt : tuple of int
        As in `LogDensity`.
    shapes, dtypes : tuple
        Of the inputs.
    on_device : mapping of int to array
        Inputs that stay on the device, by their positions.
    in_one_piece : bool or None
        As in `PackedCall`.
    """

    def __init__(
        self,
        kernel: Any,
        differentiable: tuple[int, ...],
        wrt: tuple[int, ...],
        shapes: tuple[tuple[int, ...], ...],
        dtypes: tuple[Any, ...],
        on_device: Mapping[int, jax.Array],
        in_one_piece: bool | None,
    ) -> None:
        first = _first_attempt(kernel, differentiable, wrt)
        stay = tuple(on_device)
        self._first = packed_call(first, shapes, dtypes, stay, in_one_piece).bind(on_device)

        def second(value: np.ndarray) -> Callable[[Sequence[Any]], list[np.ndarray]]:
            # The result of the first attempt comes before the other inputs.
            return packed_call(
                _second_attempt(kernel, differentiable, wrt),
                (value.shape, *shapes),
                (value.dtype, *dtypes),
                tuple(i + 1 for i in stay),
                in_one_piece,
            ).bind({i + 1: x for i, x in on_device.items()})

        self._compile_second = second
        self._second: Callable[[Sequence[Any]], list[np.ndarray]] | None = None

    def __call__(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Return the log-densities and their gradients, as NumPy arrays that nobody else holds."""
        *results, undecided = self._first(inputs)
        if not undecided:
            return results
        value, *gradients = results
        if self._second is None:
            self._second = self._compile_second(value)
        value, *more = self._second([value, *inputs])
        for gradient, rest in zip(gradients, more, strict=True):
            np.add(gradient, rest, out=gradient)
        return [value, *gradients]


@lru_cache(maxsize=CACHED_FUNCTIONS)
def _first_attempt(
    kernel: TwoAttempts, differentiable: tuple[int, ...], wrt: tuple[int, ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    """Return ``(*inputs) -> (value, *gradients, number of units left)``."""
    safe_kernel = guarded(kernel.first_attempt, differentiable, may_be_undecided=True)

    def call(*inputs: jax.Array) -> tuple[jax.Array, ...]:
        value, *gradients = with_gradients(safe_kernel, inputs, wrt)
        undecided = jnp.sum(jnp.isnan(value), dtype=value.dtype)
        return value, *gradients, undecided

    return jax.jit(call)


@lru_cache(maxsize=CACHED_FUNCTIONS)
def _second_attempt(
    kernel: TwoAttempts, differentiable: tuple[int, ...], wrt: tuple[int, ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    """Return ``(first, *inputs) -> (value, *gradients to add to those of the first attempt)``."""
    safe_kernel = guarded(kernel.second_attempt, tuple(i + 1 for i in differentiable))
    moving = tuple(i + 1 for i in wrt)

    def call(first: jax.Array, *inputs: jax.Array) -> tuple[jax.Array, ...]:
        value, *gradients = with_gradients(safe_kernel, (first, *inputs), moving)
        return jnp.where(jnp.isnan(first), value, first), *gradients

    return jax.jit(call)
