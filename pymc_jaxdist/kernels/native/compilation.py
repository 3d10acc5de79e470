"""How Numba compiles functions that compiled functions call, and how these call Python."""

import ctypes
import traceback
import zlib
from _thread import interrupt_main
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import RLock, Timer
from typing import Any, TypeVar

from llvmlite.binding import add_symbol
from numba import cfunc, njit, types
from numba.core.sigutils import normalize_signature
from numba.core.typing import signature as signature_of
from numba.extending import models, register_model

__all__ = [
    "called_by_symbol",
    "called_from_compiled",
    "compiled_on_demand",
    "compiled_to_keep",
    "fingerprint",
    "inlined",
    "uninterrupted",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
# Seconds, longer than the compiled code that comes after Python was called.
MOMENT = 0.1

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


class _CalledBySymbol(types.ExternalFunction):
    """A function that compiled code finds by its symbol.

    Numba keeps code under a hash of what it refers to, and that of a type differs between
    processes: it holds the number of types that there were before. A signature in words does not.
    """

    def __init__(self, symbol: str, signature: str) -> None:
        arguments, result = normalize_signature(signature)
        super().__init__(symbol, signature_of(result, *arguments))
        self._in_words = signature

    def __reduce__(self) -> tuple[Any, ...]:
        return _CalledBySymbol, (self.symbol, self._in_words)


register_model(_CalledBySymbol)(models.OpaqueModel)


def called_by_symbol(symbol: str, signature: str, address: int) -> types.ExternalFunction:
    """Let compiled code call a function, also code that another process has kept on disk.

    Parameters
    ----------
    symbol : str
        By which the code finds the function: the same in each process.
    signature : str
        As Numba writes them, ``"int64(int64, float64)"``.
    address : int
        Where the function is in this process.
    """
    add_symbol(symbol, address)
    return _CalledBySymbol(symbol, signature)


def uninterrupted(function: Callable[[], T]) -> T:
    """Call a function for compiled code, through which no exception can pass.

    After an interrupt the function is called again, and the interrupt comes a moment later, when
    compiled code has ended.
    """
    interrupted = False
    while True:
        try:
            result = function()
        except KeyboardInterrupt:
            interrupted = True
            continue
        if interrupted:
            Timer(MOMENT, interrupt_main).start()
        return result


@cache
def fingerprint() -> int:
    """Give a number that changes with the source of what is compiled here.

    Numba looks at the file of a function when it decides whether what it kept on disk is still
    valid, but not at the files of the functions which that calls.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(path.read_bytes() for path in sources))


def compiled_to_keep(function: Callable[..., Any], signature: str) -> Any:
    """Compile a function that has an address, and keep it on disk.

    Parameters
    ----------
    function : callable
    signature : str
        As Numba writes them, ``"float64(int64, int64)"``.

    Returns
    -------
    numba cfunc
    """
    # Part of the name under which Numba keeps it.
    function.__qualname__ = f"{function.__qualname__}_{fingerprint()}"
    try:
        return cfunc(signature, nopython=True, cache=True)(function)
    except RuntimeError:
        # There is no place on this machine where compiled code could be kept.
        return cfunc(signature, nopython=True)(function)


_on_demand = RLock()
_kept_alive: list[Any] = []


def compiled_on_demand(symbol: str, compiled: Callable[[], Any]) -> types.ExternalFunction:
    """Let compiled code ask for the address of a function that is compiled when it does.

    Parameters
    ----------
    symbol : str
        By which the code finds it: the same in each process.
    compiled : callable
        Returns the function that `compiled_to_keep` made; cached.

    Returns
    -------
    numba.types.ExternalFunction
        Without arguments, it returns the address, which is 0 after an error; that is printed.
    """

    @ctypes.CFUNCTYPE(ctypes.c_int64)
    def address() -> int:
        try:
            with _on_demand:
                return int(uninterrupted(compiled).address)
        except BaseException:
            traceback.print_exc()
            return 0

    _kept_alive.append(address)
    where = ctypes.cast(address, ctypes.c_void_p).value or 0
    return called_by_symbol(symbol, "int64()", where)
