"""How Numba compiles functions that only other compiled functions call."""

from collections.abc import Callable
from typing import TypeVar

from numba import njit

__all__ = ["called_from_compiled", "inlined"]

F = TypeVar("F", bound=Callable)

# Without the entrances from Python and C, which take longer to compile than the function.
_internal = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def called_from_compiled(function: F) -> F:
    """Compile a function for the use of others."""
    compiled: F = njit(**_internal)(function)
    return compiled


def inlined(function: F) -> F:
    """Compile a function into each place where it is called."""
    compiled: F = njit(**_internal, forceinline=True)(function)
    return compiled
