"""Calling a function that Numba compiled from inside a function that XLA compiled.

XLA describes a call by a frame of pointers in memory (``xla/ffi/api/c_api.h``, which jaxlib
ships, fixes the layout for a major version of the interface). A handler written in Numba reads
it without Python and without the global interpreter lock.

References
----------
.. [1] JAX documentation: Foreign function interface, https://docs.jax.dev/en/latest/ffi.html
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes
from typing import Any

import jax
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pymc_jaxdist.kernels.native.compilation import inlined

__all__ = ["answered_query", "argument", "length", "length_of_result", "register", "result"]

# Positions in the structures, counted in words of eight bytes.
_FRAME_EXTENSION, _FRAME_API, _FRAME_ARGUMENTS, _FRAME_RESULTS = 1, 2, 5, 10
_LIST_ITEMS = 4
_BUFFER_DATA, _BUFFER_DIMENSIONS = 3, 5
_EXTENSION_TYPE, _EXTENSION_METADATA = 1, 3
_METADATA_VERSION, _METADATA_TRAITS = 3, 4
_API_VERSION = 4
_IS_METADATA = 1


@intrinsic
def _word(typing_context, address, index):
    """Read one word of a structure."""

    def generate(context, builder, signature, arguments):
        words = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load(builder.gep(words, [arguments[1]]))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _write_word(typing_context, address, index, value):
    """Write one word of a structure."""

    def generate(context, builder, signature, arguments):
        words = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        builder.store(arguments[2], builder.gep(words, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@inlined
def answered_query(frame):
    """Answer XLA's question for the version of the interface, if that is what the call is.

    Returns
    -------
    bool
    """
    extension = _word(frame, _FRAME_EXTENSION)
    if extension == 0 or _word(extension, _EXTENSION_TYPE) & 0xFFFFFFFF != _IS_METADATA:
        return False
    metadata = _word(extension, _EXTENSION_METADATA)
    version = _word(_word(frame, _FRAME_API), _API_VERSION)
    _write_word(metadata, _METADATA_VERSION, version)
    _write_word(metadata, _METADATA_TRAITS, 0)
    return True


@inlined
def _buffer(frame, which, index):
    return _word(_word(frame, which + _LIST_ITEMS), index)


@inlined
def length(frame, index, axis):
    """Read the length of an axis of an argument."""
    return _word(_word(_buffer(frame, _FRAME_ARGUMENTS, index), _BUFFER_DIMENSIONS), axis)


@inlined
def length_of_result(frame, index, axis):
    """Read the length of an axis of a result."""
    return _word(_word(_buffer(frame, _FRAME_RESULTS, index), _BUFFER_DIMENSIONS), axis)


@inlined
def argument(frame, index):
    """Read where an argument begins in memory."""
    return _word(_buffer(frame, _FRAME_ARGUMENTS, index), _BUFFER_DATA)


@inlined
def result(frame, index):
    """Read where a result begins in memory; 0 for the index -1, which is of none."""
    if index < 0:
        return 0
    return _word(_buffer(frame, _FRAME_RESULTS, index), _BUFFER_DATA)


def register(name: str, handler: Any) -> None:
    """Make a handler known to XLA.

    Parameters
    ----------
    name : str
        The name by which `jax.ffi.ffi_call` finds it.
    handler : numba cfunc
        From the address of a call frame to 0.
    """
    function = ctypes.cast(handler.address, ctypes.c_void_p)
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(function), platform="cpu", api_version=1)
