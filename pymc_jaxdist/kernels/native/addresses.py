"""Memory and functions at addresses, for functions that Numba compiles."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from pymc_jaxdist.kernels.native.compilation import called_from_compiled

__all__ = [
    "address",
    "arguments_do_not_overlap",
    "asked_once",
    "call",
    "floats",
    "in_use",
    "integers",
    "pointer_to",
    "write",
]


def pointer_to(number_type):
    """Return what views memory as numbers of a type of Numba's."""

    @intrinsic
    def pointer(typing_context, address):
        """View memory as numbers.

        A pointer has no reference count, no strides and no indices from the end. Code that uses
        it is half as long as with an array, before LLVM has removed what is not needed.
        """

        def generate(context, builder, signature, arguments):
            target = context.get_value_type(signature.return_type)
            return builder.inttoptr(arguments[0], target)

        return types.CPointer(number_type)(types.int64), generate

    return pointer


floats = pointer_to(types.float64)
integers = pointer_to(types.int64)


@intrinsic
def address(typing_context, pointer, offset):
    """Give the address of ``pointer[offset]``."""

    def generate(context, builder, signature, arguments):
        word = context.get_value_type(types.int64)
        return builder.ptrtoint(builder.gep(arguments[0], [arguments[1]]), word)

    return types.int64(pointer, types.int64), generate


@intrinsic
def call(typing_context, function, arguments):
    """Call the function at an address, which takes integers and returns a float.

    NaN if the address is 0.
    """

    def generate(context, builder, signature, arguments):
        integers = cgutils.unpack_tuple(builder, arguments[1])
        returned = context.get_value_type(types.float64)
        result = cgutils.alloca_once_value(builder, ir.Constant(returned, math.nan))
        with builder.if_then(cgutils.is_not_null(builder, arguments[0])):
            kind = ir.FunctionType(returned, [x.type for x in integers]).as_pointer()
            function = builder.inttoptr(arguments[0], kind)
            builder.store(builder.call(function, integers), result)
        return builder.load(result)

    return types.float64(types.int64, arguments), generate


@intrinsic
def asked_once(typing_context, function):
    """Give what a function without arguments returned the first time that it was not 0.

    A function in Python costs a thread of XLA tens of microseconds.
    """

    def generate(context, builder, signature, arguments):
        word = context.get_value_type(types.int64)
        kept = cgutils.add_global_variable(builder.module, word, f"{function.symbol}_answer")
        kept.linkage, kept.initializer = "internal", word(0)
        with builder.if_then(cgutils.is_null(builder, builder.load(kept))):
            kind = ir.FunctionType(word, [])
            asked = cgutils.get_or_insert_function(builder.module, kind, function.symbol)
            builder.store(builder.call(asked, []), kept)
        return builder.load(kept)

    return types.int64(function), generate


@intrinsic
def arguments_do_not_overlap(typing_context):
    """Say that the function writes to no memory at two of its arguments.

    LLVM computes several numbers at once only where it can tell.
    """

    def generate(context, builder, signature, arguments):
        for argument in builder.function.args:
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), generate


@called_from_compiled
def in_use(*arrays):
    """Use arrays of which only the addresses were used, so that they are not freed before."""


@called_from_compiled
def write(array, address):
    """Copy an array to an address, and tell whether all of it is finite."""
    numbers = floats(address)
    if array.ndim == 0:
        numbers[0] = array[()]
        return np.isfinite(numbers[0])
    finite = True
    for i, number in enumerate(array.flat):
        numbers[i] = number
        finite &= np.isfinite(number)
    return finite
