"""Shapes and types of what a JAX function returns, as far as they are known without data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax

from pymc_jaxdist.ops.precision import double_precision

__all__ = ["OutputLayout", "evaluate_shapes", "output_layouts"]

InputLayout = tuple[str, tuple[int | None, ...]]

# Lengths tried for all unknown dimensions together where symbolic lengths do not do: functions
# usually demand that some of them are equal, or are long enough.
TRIAL_LENGTHS = (3, 2, 1, 8, 32)


@dataclass(frozen=True)
class OutputLayout:
    """Type and shape of one output.

    Attributes
    ----------
    dtype : str
    lengths : tuple
        For each dimension an int, the ``(input, axis)`` that has the same length, or None.
    """

    dtype: str
    lengths: tuple[int | tuple[int, int] | None, ...]

    @property
    def static_shape(self) -> tuple[int | None, ...]:
        """The shape, with None for what is unknown."""
        return tuple(n if isinstance(n, int) else None for n in self.lengths)


def evaluate_shapes(
    function: Callable[..., Any], inputs: Sequence[InputLayout]
) -> tuple[Any, list[dict[tuple[int, int], Any]]]:
    """Trace a function without data.

    Parameters
    ----------
    function : callable
        Of arrays, to a pytree of arrays.
    inputs : sequence of (dtype, shape)
        Shapes may hold None.

    Returns
    -------
    result : pytree of jax.ShapeDtypeStruct
    symbols : list of dict
        For each axis of unknown length of each input, the symbol that stands for it in the
        shapes of the result. Empty if lengths were tried out instead.

    Raises
    ------
    Exception
        Whatever the function raises.
    """
    unknown = [
        (i, axis) for i, (_, s) in enumerate(inputs) for axis, n in enumerate(s) if n is None
    ]
    with double_precision():
        if not unknown:
            return jax.eval_shape(function, *_structs(inputs, {})), []
        symbols = _symbolic_lengths(unknown)
        try:
            return jax.eval_shape(function, *_structs(inputs, symbols)), [symbols]
        except Exception:
            return _by_trial(function, inputs, unknown), []


def _by_trial(
    function: Callable[..., Any], inputs: Sequence[InputLayout], unknown: list[Any]
) -> Any:
    errors = []
    for length in TRIAL_LENGTHS:
        try:
            return jax.eval_shape(function, *_structs(inputs, dict.fromkeys(unknown, length)))
        except Exception as error:
            errors.append(error)
    raise errors[0]


def _symbolic_lengths(unknown: list[tuple[int, int]]) -> dict[tuple[int, int], Any]:
    from jax import export

    names = ", ".join(f"n{i}_{axis}" for i, axis in unknown)
    return dict(zip(unknown, export.symbolic_shape(names), strict=True))


def _structs(
    inputs: Sequence[InputLayout], lengths: dict[tuple[int, int], Any]
) -> list[jax.ShapeDtypeStruct]:
    return [
        jax.ShapeDtypeStruct(
            tuple(lengths[i, axis] if n is None else n for axis, n in enumerate(shape)), dtype
        )
        for i, (dtype, shape) in enumerate(inputs)
    ]


@lru_cache(maxsize=1024)
def output_layouts(
    function: Callable[..., Any], inputs: tuple[InputLayout, ...]
) -> tuple[OutputLayout, ...]:
    """Return the layouts of a flat function's outputs.

    Parameters
    ----------
    function : callable
        Hashable by value, from arrays to a tuple of arrays.
    inputs : tuple of (dtype, shape)
        Shapes may hold None.

    Examples
    --------
    >>> output_layouts(lambda x: (x[:, None] + x,), (("float64", (3,)),))[0].static_shape
    (3, 3)
    >>> output_layouts(lambda x: (x.sum(0),), (("float32", (None, 2)),))[0].static_shape
    (2,)
    """
    results, symbols = evaluate_shapes(function, inputs)
    axes = {} if not symbols else {symbol: axis for axis, symbol in symbols[0].items()}
    known = bool(symbols) or all(None not in shape for _, shape in inputs)

    def length(n: Any) -> int | tuple[int, int] | None:
        if not known:
            return None
        return n if isinstance(n, int) else axes.get(n)

    return tuple(
        OutputLayout(str(result.dtype), tuple(length(n) for n in result.shape))
        for result in results
    )
