"""Kernels that are tried in two ways: the second is compiled when some unit first needs it.

Where PyTensor calls a kernel from the host, the call is in two programs. A model whose equations
are not stiff never waits for the compiler to be done with a method for stiff ones, nor one whose
equations are plainly stiff for the other.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.ops.kernel_calls import (
    CACHED_FUNCTIONS,
    Kernel,
    guarded,
    how_many,
    with_count,
    with_gradients,
)
from pymc_jaxdist.ops.packed_call import Attend, packed_call

__all__ = ["CallInAttempts", "TwoAttempts", "is_in_two_attempts"]


# What is called once, or a few times, is compiled as quickly as can be. An explicit method takes a
# tenth less to compile at level 2 than at 3, and not measurably longer to run (six equations); a
# stiff one takes up to an eighth longer to run.
LEVEL_OF_FORESEEING, LEVEL_OF_FIRST_ATTEMPT = 0, 2

_Call = Callable[[Sequence[Any]], list[np.ndarray]]


class TwoAttempts(Protocol):
    """What a kernel offers that can be computed in two attempts, besides in one call."""

    @property
    def in_two_attempts(self) -> bool:
        """Whether it has two."""

    def foreseen(self, *inputs: jax.Array) -> jax.Array:
        """Return NaN for units that the first attempt would leave undecided at once, else 0.

        An array like the kernel's result, of a program that costs little to compile.
        """

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
    note_impossible : callable
        What `PackedCall.bind` calls where units are impossible.
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
        note_impossible: Attend,
    ) -> None:
        stay = tuple(on_device)

        def first() -> _Call:
            function = _first_attempt(kernel, differentiable, wrt)
            how = (in_one_piece, LEVEL_OF_FIRST_ATTEMPT, 2)
            return packed_call(function, shapes, dtypes, stay, *how).bind(on_device, self._attend)

        def second(value: np.ndarray) -> _Call:
            # The result of the first attempt comes before the other inputs.
            return packed_call(
                _second_attempt(kernel, differentiable, wrt),
                (value.shape, *shapes),
                (value.dtype, *dtypes),
                tuple(i + 1 for i in stay),
                in_one_piece,
                n_counts=1,
            ).bind({i + 1: x for i, x in on_device.items()}, self._note_impossible_of_second)

        how = (True, LEVEL_OF_FORESEEING)
        self._foresee = packed_call(_foreseen(kernel), shapes, dtypes, stay, *how).bind(on_device)
        self._note_impossible = note_impossible
        self._compile_first = first
        self._compile_second = second
        self._first: _Call | None = None
        self._second: _Call | None = None

    def evaluate(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Return the log-densities and their gradients, as NumPy arrays that nobody else holds."""
        if self._first is None:
            (foreseen,) = self._foresee(inputs)
            if foreseen.size and np.isnan(foreseen).all():
                return self._try_again(foreseen, inputs)
            self._first = self._compile_first()
        return self._first(inputs)

    def _attend(
        self, inputs: Sequence[Any], results: list[np.ndarray], counts: tuple[float, ...]
    ) -> list[np.ndarray]:
        """Try again for units that are left, or note that some are impossible."""
        impossible, left = counts
        if not left:
            return self._note_impossible(inputs, results, (impossible,))
        value, *gradients = results
        value, *more = self._try_again(value, inputs)
        for gradient, rest in zip(gradients, more, strict=True):
            np.add(gradient, rest, out=gradient)
        return [value, *gradients]

    def _try_again(self, value: np.ndarray, inputs: Sequence[Any]) -> list[np.ndarray]:
        if self._second is None:
            self._second = self._compile_second(value)
        return self._second([value, *inputs])

    def _note_impossible_of_second(
        self, inputs: Sequence[Any], results: list[np.ndarray], counts: tuple[float, ...]
    ) -> list[np.ndarray]:
        return self._note_impossible(inputs[1:], results, counts)


@lru_cache(maxsize=CACHED_FUNCTIONS)
def _foreseen(kernel: TwoAttempts) -> Callable[..., tuple[jax.Array, ...]]:
    """Return ``(*inputs) -> (foreseen,)``."""
    return jax.jit(lambda *inputs: (kernel.foreseen(*inputs),))


@lru_cache(maxsize=CACHED_FUNCTIONS)
def _first_attempt(
    kernel: TwoAttempts, differentiable: tuple[int, ...], wrt: tuple[int, ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    """Return ``(*inputs) -> (value, *gradients, number impossible, number of units left)``."""
    safe_kernel = guarded(kernel.first_attempt, differentiable, may_be_undecided=True)

    def call(*inputs: jax.Array) -> tuple[jax.Array, ...]:
        value, *gradients = with_gradients(safe_kernel, inputs, wrt)
        return *with_count(value, *gradients), how_many(jnp.isnan(value))

    return jax.jit(call)


@lru_cache(maxsize=CACHED_FUNCTIONS)
def _second_attempt(
    kernel: TwoAttempts, differentiable: tuple[int, ...], wrt: tuple[int, ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    """Return the second attempt.

    ``(first, *inputs) -> (value, *gradients to add to those of the first attempt, number of units
    that are impossible)``.
    """
    safe_kernel = guarded(kernel.second_attempt, tuple(i + 1 for i in differentiable))
    moving = tuple(i + 1 for i in wrt)

    def call(first: jax.Array, *inputs: jax.Array) -> tuple[jax.Array, ...]:
        value, *gradients = with_gradients(safe_kernel, (first, *inputs), moving)
        return with_count(jnp.where(jnp.isnan(first), value, first), *gradients)

    return jax.jit(call)
