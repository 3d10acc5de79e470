"""What is known of an argument while a model is being built: its shape, its value, its name."""

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.errors import ParameterError, compose_message

__all__ = [
    "as_floats",
    "as_numbers",
    "as_probabilities",
    "broadcasts",
    "describe",
    "first_index",
    "known_shape",
    "known_value",
    "masked_as_missing",
]


def as_probabilities(where: str, argument: str, value: Any) -> TensorVariable:
    """Return probabilities as a float64 tensor.

    Parameters
    ----------
    where, argument : str
        For the error message.
    value : tensor_like
        Also nested lists that hold variables: ``[[p, 1 - p], [1 - q, q]]``.

    Raises
    ------
    ParameterError
        If the value is no array of numbers.
    """
    try:
        tensor = _stack(value)
        if tensor.type.dtype.startswith(("float", "int", "uint", "bool")):
            if isinstance(tensor, Constant):
                return pt.constant(np.asarray(tensor.data, dtype="float64"))
            return pt.cast(tensor, "float64")
    except (TypeError, ValueError, NotImplementedError):
        pass
    raise ParameterError(
        compose_message(
            where,
            f"{argument} must be an array of probabilities or a variable of the model.",
            got=f"{type(value).__name__}: {value!r:.60}",
        )
    )


def as_floats(where: str, argument: str, value: Any) -> TensorVariable:
    """Return numbers as a float64 tensor; arguments as for `as_numbers`."""
    tensor = as_numbers(where, argument, value)
    if tensor.type.dtype == "float64":
        return tensor
    if isinstance(tensor, Constant):
        return pt.constant(np.asarray(tensor.data, dtype="float64"))
    return pt.cast(tensor, "float64")


def as_numbers(where: str, argument: str, value: Any) -> TensorVariable:
    """Return numbers as a tensor.

    Parameters
    ----------
    where, argument : str
        For the error message.
    value : tensor_like
        Also a table.

    Raises
    ------
    ParameterError
        If the value is no array of real numbers.
    """
    try:
        if hasattr(value, "to_numpy") and not isinstance(value, Variable):
            value = value.to_numpy()
        tensor = pt.as_tensor_variable(value)
        if tensor.type.dtype.startswith(("float", "int", "uint", "bool")):
            return tensor
    except (TypeError, ValueError, NotImplementedError):
        pass
    raise ParameterError(
        compose_message(
            where,
            f"{argument} must be numbers or variables of the model.",
            got=f"{type(value).__name__}: {value!r:.60}",
        )
    )


def masked_as_missing(value: Any) -> Any:
    """Return a masked array with NaN where it is masked; anything else as it is."""
    if np.ma.isMaskedArray(value):
        return np.ma.filled(value.astype("float64"), np.nan)
    return value


def _stack(value: Any) -> TensorVariable:
    if isinstance(value, list | tuple) and any(_holds_variable(x) for x in value):
        return pt.stack([_stack(x) for x in value])
    return pt.as_tensor_variable(value)


def _holds_variable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_variable(x) for x in value)
    return isinstance(value, Variable)


def known_value(variable: TensorVariable) -> np.ndarray | None:
    """Return the value of an argument that depends on no random variable and no input, or None.

    Parameters
    ----------
    variable : TensorVariable
        A constant, data, or an expression of them.
    """
    if isinstance(variable, Constant):
        return np.asarray(variable.data)
    if isinstance(variable, SharedVariable):
        return np.asarray(variable.get_value(borrow=True))
    if all(isinstance(root, Constant) for root in graph_inputs([variable])):
        # Not `variable.eval`, which keeps the function for as long as there is the variable.
        return np.asarray(pytensor.function([], variable, mode="FAST_COMPILE")())
    return None


def known_shape(variable: TensorVariable) -> tuple[int | None, ...]:
    """Return the shape of an argument, with None for lengths not known before sampling."""
    value = known_value(variable)
    return variable.type.shape if value is None else value.shape


def describe(variable: Any, shape: tuple[int | None, ...] | None = None) -> str:
    """Return the shape and the name of an argument, for an error message."""
    shape = known_shape(variable) if shape is None else shape
    lengths = ["?" if length is None else str(length) for length in shape]
    text = f"({lengths[0]},)" if len(lengths) == 1 else f"({', '.join(lengths)})"
    name = getattr(variable, "name", None)
    return f"{text}  from variable '{name}'" if name else text


def broadcasts(shape: tuple[int | None, ...], target: tuple[int | None, ...]) -> bool:
    """Tell whether a shape may broadcast to another without adding to it."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(
        n in (None, 1) or m is None or n == m for n, m in pairs
    )


def first_index(condition: Any) -> tuple[int, ...]:
    """Return the index of the first True."""
    mask = np.asarray(condition)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))
