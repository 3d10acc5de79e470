"""Eight numbers in one vector register, for functions that Numba compiles.

Numba leaves it to LLVM to find loops that can use the vector units, and for recursions over
several arrays LLVM finds few. These types and operations write the vector instructions down: a
`vector` is added, multiplied and compared like a number. LLVM cuts it to the width the processor
has (one AVX-512 register, two of AVX2, four of NEON).

Memory is given by a pointer to its first number; an offset counts numbers from there.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

__all__ = [
    "LANES",
    "exponent",
    "gather",
    "lane",
    "lane_sum",
    "larger",
    "load",
    "mantissa",
    "select_before",
    "splat",
    "store",
    "times_power_of_two",
    "zero_below",
]

LANES = 8

_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_INTEGERS = ir.VectorType(ir.IntType(64), LANES)
_INDEX = ir.IntType(32)

# The layout of a double: 52 bits of fraction below 11 bits of exponent, which is offset by 1023.
_FRACTION_BITS = 52
_FRACTION = 2**_FRACTION_BITS - 1
_BIAS = 1023
_ONE = _BIAS << _FRACTION_BITS
# An integer below 2**52 written into the fraction of 2**52 is that number plus 2**52.
_TWO_TO_52 = (_BIAS + _FRACTION_BITS) << _FRACTION_BITS


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float64x{LANES}")


_vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector_type):
        super().__init__(manager, vector_type, _DOUBLES)


def _same(value: float) -> ir.Constant:
    return ir.Constant(_DOUBLES, [float(value)] * LANES)


def _same_bits(value: int) -> ir.Constant:
    return ir.Constant(_INTEGERS, [value] * LANES)


def _vector_at(builder, pointer, offset):
    return builder.bitcast(builder.gep(pointer, [offset]), _DOUBLES.as_pointer())


@intrinsic
def load(typing_context, numbers, offset):
    """Read a vector from ``numbers[offset:]``."""

    def generate(context, builder, signature, arguments):
        return builder.load(_vector_at(builder, *arguments), align=8)

    return _vector(numbers, types.intp), generate


@intrinsic
def store(typing_context, numbers, offset, vector):
    """Write a vector to ``numbers[offset:]``."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _vector_at(builder, *arguments[:2]), align=8)
        return context.get_dummy_value()

    return types.void(numbers, types.intp, _vector), generate


@intrinsic
def gather(typing_context, numbers, offsets, offset):
    """Read ``numbers[offsets[i] + offset]`` into lane i."""

    def generate(context, builder, signature, arguments):
        numbers, offsets, offset = arguments
        data = builder.gep(numbers, [offset])
        vector = ir.Constant(_DOUBLES, ir.Undefined)
        for i in range(LANES):
            start = builder.load(builder.gep(offsets, [ir.Constant(ir.IntType(64), i)]))
            number = builder.load(builder.gep(data, [start]))
            vector = builder.insert_element(vector, number, ir.Constant(_INDEX, i))
        return vector

    return _vector(numbers, offsets, types.intp), generate


def _everywhere(builder, number):
    undefined = ir.Constant(_DOUBLES, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES)
    )


@intrinsic
def splat(typing_context, number):
    """Write one number into all lanes."""

    def generate(context, builder, signature, arguments):
        return _everywhere(builder, arguments[0])

    return _vector(types.float64), generate


@intrinsic
def lane(typing_context, vector, index):
    """Read the number in one lane."""

    def generate(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], builder.trunc(arguments[1], _INDEX))

    return types.float64(_vector, types.intp), generate


@intrinsic
def lane_sum(typing_context, vector):
    """Sum the numbers in all lanes, in whatever order is fastest."""

    def generate(context, builder, signature, arguments):
        double = ir.DoubleType()
        add = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(double, [double, _DOUBLES]),
            f"llvm.vector.reduce.fadd.v{LANES}f64",
        )
        return builder.call(add, [ir.Constant(double, 0.0), arguments[0]], fastmath=("reassoc",))

    return types.float64(_vector), generate


def _define_operator(operation, instruction: str) -> None:
    """Let an operator take vectors, and a vector and a number."""

    class Template(ConcreteTemplate):
        cases = [  # noqa: RUF012
            signature(_vector, _vector, _vector),
            signature(_vector, _vector, types.float64),
            signature(_vector, types.float64, _vector),
        ]

    infer_global(operation)(Template)

    def generate(context, builder, signature, arguments):
        vectors = [x if x.type == _DOUBLES else _everywhere(builder, x) for x in arguments]
        # "contract" lets LLVM join a product and a sum into one instruction.
        return getattr(builder, instruction)(*vectors, flags=("contract",))

    for case in Template.cases:
        lower_builtin(operation, *case.args)(generate)


_define_operator(operator.add, "fadd")
_define_operator(operator.iadd, "fadd")
_define_operator(operator.sub, "fsub")
_define_operator(operator.mul, "fmul")
_define_operator(operator.imul, "fmul")
_define_operator(operator.truediv, "fdiv")


@intrinsic
def larger(typing_context, x, y):
    """Take the larger number in each lane; `y` where one is NaN."""

    def generate(context, builder, signature, arguments):
        x, y = arguments
        return builder.select(builder.fcmp_ordered(">", x, y), x, y)

    return _vector(_vector, _vector), generate


@intrinsic
def zero_below(typing_context, limit, x, y):
    """Take 0 where ``x < limit``, else `y`; `y` where `x` is NaN."""

    def generate(context, builder, signature, arguments):
        limit, x, y = arguments
        return builder.select(builder.fcmp_ordered("<", x, limit), _same(0.0), y)

    return _vector(_vector, _vector, _vector), generate


@intrinsic
def select_before(typing_context, time, ends, x, y):
    """Take `x` where ``time < ends``, else `y`."""

    def generate(context, builder, signature, arguments):
        time, ends, x, y = arguments
        return builder.select(builder.fcmp_ordered("<", time, ends), x, y)

    return _vector(_vector, _vector, _vector, _vector), generate


@intrinsic
def times_power_of_two(typing_context, x, power):
    """Multiply by 2 to the integer that the last bits of `power` hold."""

    def generate(context, builder, signature, arguments):
        x, power = arguments
        integer = builder.bitcast(power, _INTEGERS)
        bits = builder.shl(builder.add(integer, _same_bits(_BIAS)), _same_bits(_FRACTION_BITS))
        return builder.fmul(x, builder.bitcast(bits, _DOUBLES))

    return _vector(_vector, _vector), generate


@intrinsic
def mantissa(typing_context, x):
    """Give the number in [1, 2) that a power of two scales to the positive `x`."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], _INTEGERS)
        fraction = builder.and_(bits, _same_bits(_FRACTION))
        return builder.bitcast(builder.or_(fraction, _same_bits(_ONE)), _DOUBLES)

    return _vector(_vector), generate


@intrinsic
def exponent(typing_context, x):
    """Give the exponent of that power of two."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], _INTEGERS)
        biased = builder.lshr(bits, _same_bits(_FRACTION_BITS))
        number = builder.bitcast(builder.or_(biased, _same_bits(_TWO_TO_52)), _DOUBLES)
        return builder.fsub(number, _same(2.0**_FRACTION_BITS + _BIAS))

    return _vector(_vector), generate
