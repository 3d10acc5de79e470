"""How Numba compiles functions that only other compiled functions call."""

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from numba import njit

__all__ = ["called_from_compiled", "fingerprint", "inlined"]

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


@cache
def fingerprint() -> int:
    """Give a number that changes with the source of what is compiled here.

    Numba looks at the file of a function when it decides whether what it kept on disk is still
    valid, but not at the files of the functions which that calls.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(path.read_bytes() for path in sources))
