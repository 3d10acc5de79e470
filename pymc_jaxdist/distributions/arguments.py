"""What is known of an argument while a model is being built: its shape, its value, its name."""

from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor.variable import TensorVariable

__all__ = ["describe", "known_shape", "known_value"]


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
        return np.asarray(variable.eval(mode="FAST_COMPILE"))
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
