"""A compiled JAX function that exchanges its many small arrays with NumPy as one.

Each array that enters or leaves a compiled function costs some two microseconds, and the parameters
of a model are many and small. They travel in one array, which is cut up inside, and into which the
results are written. On the processor it does not travel at all: NumPy writes and reads it where JAX
keeps it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.kernels.program_pieces import as_a_loop, in_two_pieces
from pymc_jaxdist.kernels.short_reductions import with_short_reductions_written_out
from pymc_jaxdist.ops.array_in_place import array_in_place
from pymc_jaxdist.ops.backend import dispatch_is_synchronous
from pymc_jaxdist.ops.compat import compiler_options, reductions_are_costly
from pymc_jaxdist.ops.kernel_calls import CACHED_FUNCTIONS

__all__ = ["Attend", "PackedCall", "packed_call"]

# Copying more numbers than these takes longer than handing the array over by itself. What stays on
# the device is handed over at less cost: half a microsecond, and one for a copy in front of a loop.
LARGEST_PACKED, LARGEST_PACKED_THAT_STAYS = 4096, 512

Attend = Callable[[Sequence[Any], list[np.ndarray], tuple[float, ...]], list[np.ndarray]]


class _Piece(NamedTuple):
    """Where an array lies in the packed one."""

    position: int
    begin: int
    end: int
    shape: tuple[int, ...]


def _pieces(layouts: Sequence[Any], packed: Sequence[int], begin: int = 0) -> tuple[_Piece, ...]:
    """Lay arrays one behind the other."""
    pieces = []
    for position in packed:
        end = begin + int(layouts[position].size)
        pieces.append(_Piece(position, begin, end, layouts[position].shape))
        begin = end
    return tuple(pieces)


class _Exchange(NamedTuple):
    """How NumPy and a compiled function exchange an array: lines before and after its call."""

    before: list[str]
    after: list[str]


class PackedCall:
    """A call of a compiled function with arrays of given shapes and types.

    Parameters
    ----------
    function : callable
        ``(*arrays) -> tuple of arrays``, compiled by JAX.
    inputs : sequence of jax.ShapeDtypeStruct
    stay : tuple of int
        Positions of the inputs that are on the device, and stay there.
    in_one_piece : bool or None
        Whether to compile the function as the body of a loop of one turn. XLA makes one piece of
        code of such a body if its arrays are small, instead of a hundred pieces between which it
        manages memory and threads. None: if it has loops of unknown length, as differential
        equations have, and no matrix products outside them, for which XLA has faster code.
    optimization_level : int
        As in `compiler_options`.
    n_counts : int
        How many of the results, the last ones, are single numbers that are usually zero.

    Examples
    --------
    >>> inputs = [np.array(2.0), np.array([3.0, 4.0])]
    >>> structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs]
    >>> function = jax.jit(lambda x, y: (x + y, x * y, jnp.sum(y > 3, dtype=float)))
    >>> call = PackedCall(function, structs, (), True, 3, n_counts=1)
    >>> call.bind({})(inputs)
    [array([5., 6.]), array([6., 8.])]
    >>> call.bind({}, lambda inputs, results, counts: print(counts))(inputs)
    (1.0,)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        stay: tuple[int, ...],
        in_one_piece: bool | None,
        optimization_level: int,
        n_counts: int,
    ) -> None:
        jaxpr, outputs = jax.make_jaxpr(function, return_shape=True)(*inputs)
        if in_one_piece is None:
            outside = _primitives(jaxpr)
            in_one_piece = "while" in outside and "dot_general" not in outside

        def is_packed(x: Any, largest: int = LARGEST_PACKED) -> bool:
            return x.dtype == np.float64 and x.size <= largest

        staying = [i for i in stay if is_packed(inputs[i], LARGEST_PACKED_THAT_STAYS)]
        packed = staying + [i for i, x in enumerate(inputs) if i not in stay and is_packed(x)]
        self._inputs = _pieces(inputs, packed)
        self._inputs_alone = [i for i in range(len(inputs)) if i not in packed]
        self._begin_of_outputs = self._inputs[-1].end if packed else 0
        packed_outputs = [i for i, x in enumerate(outputs) if is_packed(x)]
        self._outputs = _pieces(outputs, packed_outputs, self._begin_of_outputs)
        self._outputs_alone = [i for i, x in enumerate(outputs) if not is_packed(x)]
        self._size = self._outputs[-1].end if packed_outputs else self._begin_of_outputs
        self._n_counts = n_counts

        def of_packed(whole: jax.Array, *alone: jax.Array) -> tuple[jax.Array, ...]:
            given = dict(zip(self._inputs_alone, alone, strict=True))
            for position, begin, end, shape in self._inputs:
                # Without a barrier XLA cuts the array up again in every loop that reads a piece.
                piece = whole[begin:end].reshape(shape)
                given[position] = jax.lax.optimization_barrier(piece)
            results = function(*(given[i] for i in range(len(given))))
            flat = [results[position].reshape(-1) for position, *_ in self._outputs]
            if flat:
                whole = whole.at[self._begin_of_outputs :].set(jnp.concatenate(flat))
            return whole, *(results[i] for i in self._outputs_alone)

        program: Callable[..., Any] = of_packed
        pieces = None
        if reductions_are_costly():
            from jax.extend.core import jaxpr_as_fun  # which takes long to import

            whole = jax.ShapeDtypeStruct((self._size,), np.float64)
            alone = [inputs[i] for i in self._inputs_alone]
            traced = with_short_reductions_written_out(jax.make_jaxpr(of_packed)(whole, *alone))
            program = jaxpr_as_fun(traced)
            all_packed = not self._inputs_alone and not self._outputs_alone
            if in_one_piece and all_packed and jax.default_backend() == "cpu":
                pieces = in_two_pieces(traced)
        if pieces is not None:
            program = pieces.function
        elif in_one_piece:
            program = as_a_loop(program)
        self._n_more = 0 if pieces is None else pieces.n_more
        self._scratch = () if pieces is None else pieces.scratch
        donated = tuple(range(1 + len(self._scratch)))
        options = compiler_options(optimization_level)
        self._function = jax.jit(program, donate_argnums=donated, compiler_options=options)

    @property
    def traces(self) -> int:
        """How often the function was traced."""
        return int(self._function._cache_size())  # type: ignore[attr-defined]

    def bind(
        self, on_device: Mapping[int, jax.Array], attend: Attend | None = None
    ) -> Callable[[Sequence[Any]], list[np.ndarray]]:
        """Return the call with those inputs that stay on the device.

        Parameters
        ----------
        on_device : mapping of int to array
            Inputs by their positions `stay`.
        attend : callable, optional
            What to return where a count is not zero: ``attend(inputs, results, counts)``.

        Returns
        -------
        callable
            From the sequence of all inputs, of which those on the device are not looked at, to a
            list of results without the counts, as NumPy arrays that nobody else holds.
        """
        # What stays comes first.
        first = [np.ravel(on_device[i]) for i, *_ in self._inputs if i in on_device]
        blank = np.zeros(self._size + self._n_more)
        staying = np.concatenate([np.zeros(0), *first])
        blank[: staying.size] = staying
        names: dict[str, Any] = {
            "array": np.array,
            "asarray": np.asarray,
            "attend": attend,
            "fresh": blank.copy,
            "function": self._function,
            "ndarray": np.ndarray,
            "none": (0.0,) * self._n_counts,
            "on_device": on_device,
            "unpack": Struct(f"{self._n_counts}d").unpack_from,
        }
        counted = attend is not None
        begin = self._begin_of_outputs
        sent = _Exchange(
            ["whole = numbers = fresh()"], [f"copied = bytearray(asarray(found[0])[{begin}:])"]
        )
        if jax.default_backend() != "cpu":
            return self._written_out(sent, on_device, counted, names)
        names["idle"] = []
        names["in_place"] = lambda whole: array_in_place(whole, begin, self._size)
        names["put"] = lambda: jax.block_until_ready(jax.device_put(blank.copy()))
        names["room"] = lambda: [jax.device_put(np.zeros(x.shape, x.dtype)) for x in self._scratch]
        wait = [] if dispatch_is_synchronous() else ["whole.block_until_ready()"]
        in_place = _Exchange(
            [
                # Several threads may be here at once: each has an array of its own.
                "try: numbers, whole, results, address, scratch = idle.pop()",
                "except IndexError:",
                "    numbers, whole, results, address = in_place(put())",
                "    scratch = room()",
            ],
            [
                "whole, *scratch = found" if self._scratch else "whole = found[0]",
                *wait,
                # As the first time, because JAX does not write to memory of NumPy's.
                "if whole.unsafe_buffer_pointer() != address:",
                "    numbers, whole, results, address = in_place(whole)",
                "copied = bytearray(results)",
                "idle.append((numbers, whole, results, address, scratch))",
            ],
        )
        return self._written_out(in_place, on_device, counted, names)

    def _written_out(
        self, exchange: _Exchange, on_device: Collection[int], counted: bool, names: dict[str, Any]
    ) -> Callable[[Sequence[Any]], list[np.ndarray]]:
        """Return the call, written out for these shapes.

        Each line of it is passed at every evaluation of a model, and takes two or three times as
        long there as in a loop of its own: what JAX runs in between drives it out of the caches.
        Loops over pieces would take a tenth of a small model's evaluation.
        """
        lines = [*exchange.before]
        for i, begin, end, shape in self._inputs:
            if i not in on_device:
                flat = ".ravel()" if len(shape) > 1 else ""
                lines.append(f"numbers[{begin}:{end}] = inputs[{i}]{flat}")
        places = ["on_device" if i in on_device else "inputs" for i in self._inputs_alone]
        alone = [f", {place}[{i}]" for place, i in zip(places, self._inputs_alone, strict=True)]
        if self._scratch:
            alone.append(", *scratch")
        lines += [f"found = function(whole{''.join(alone)})", *exchange.after]
        n_arrays = len(self._outputs) - self._n_counts
        first = self._begin_of_outputs
        sources = {
            i: f"ndarray({shape}, float, copied, {8 * (begin - first)})"
            for i, begin, _, shape in self._outputs[:n_arrays]
        }
        sources |= {i: f"array(found[{k + 1}])" for k, i in enumerate(self._outputs_alone)}
        lines.append(f"arrays = [{', '.join(sources[i] for i in sorted(sources))}]")
        if counted:
            begin = 8 * (self._outputs[n_arrays].begin - first)
            lines.append(f"counts = unpack(copied, {begin})")
            lines.append("if counts != none: return attend(inputs, arrays, counts)")
        lines.append("return arrays")
        scope = dict(names)
        exec("\n    ".join(["def call(inputs):", *lines]), scope)
        call: Callable[[Sequence[Any]], list[np.ndarray]] = scope["call"]
        return call


def _primitives(jaxpr: Any) -> set[str]:
    """Return what a traced function, and the functions it calls, do outside loops."""
    found = set()
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        found.add(equation.primitive.name)
        if equation.primitive.name not in ("while", "scan"):
            for parameter in jax.tree.leaves(equation.params, is_leaf=_is_jaxpr):
                if _is_jaxpr(parameter):
                    found |= _primitives(parameter)
    return found


def _is_jaxpr(x: Any) -> bool:
    return hasattr(x, "eqns")


@lru_cache(maxsize=CACHED_FUNCTIONS)
def packed_call(
    function: Callable[..., Any],
    shapes: tuple[tuple[int, ...], ...],
    dtypes: tuple[Any, ...],
    stay: tuple[int, ...],
    in_one_piece: bool | None,
    optimization_level: int = 3,
    n_counts: int = 0,
) -> PackedCall:
    """Return the call of a compiled function, always the same for the same arguments."""
    structs = [jax.ShapeDtypeStruct(*x) for x in zip(shapes, dtypes, strict=True)]
    return PackedCall(function, structs, stay, in_one_piece, optimization_level, n_counts)
