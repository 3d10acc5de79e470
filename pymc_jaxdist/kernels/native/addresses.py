"""Arrays at addresses in memory."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import carray, types
from numba.extending import intrinsic

from pymc_jaxdist.kernels.native.compilation import inlined

__all__ = ["floats", "integers"]


def _pointer_to(number_type):
    @intrinsic
    def pointer(typing_context, address):
        def generate(context, builder, signature, arguments):
            target = context.get_value_type(signature.return_type)
            return builder.inttoptr(arguments[0], target)

        return types.CPointer(number_type)(types.int64), generate

    return pointer


_pointer_to_floats = _pointer_to(types.float64)
_pointer_to_integers = _pointer_to(types.int64)


@inlined
def floats(address, size):
    """View memory as a flat array of double precision."""
    return carray(_pointer_to_floats(address), (size,))


@inlined
def integers(address, size):
    """View memory as a flat array of 64-bit integers."""
    return carray(_pointer_to_integers(address), (size,))
