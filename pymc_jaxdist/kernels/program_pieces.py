"""A traced program as two loops of one turn, which XLA compiles side by side.

XLA makes one piece of code of a loop over small arrays, and compiles pieces on several processors.
A program that is one such loop occupies one of them only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

if TYPE_CHECKING:  # at run time it imports Pallas, a quarter of what importing the package takes
    from jax.extend.core import ClosedJaxpr

__all__ = ["ProgramInPieces", "as_a_loop", "in_two_pieces"]

# An evaluation takes some 4 microseconds more in two pieces. They are worth it for programs whose
# equations have this many results together, those of long arrays not all counted: equations of a
# dozen states or more, in reverse.
LEAST_WORK, COUNTED_OF_AN_ARRAY = 12_000, 32
# The larger piece is at most this part of the whole.
LARGEST_PART = 0.7
# What is longer is handed from piece to piece where it is, which costs a microsecond, instead of
# being copied.
LARGEST_COPIED, MOST_COPIED, MOST_ARRAYS = 4096, 16_384, 4

_CALLS = {"closed_call", "custom_jvp_call", "custom_vjp_call", "custom_vmap_call", "jit", "pjit"}


class ProgramInPieces(NamedTuple):
    """A program ``whole (N,) -> whole (N,)`` in pieces.

    Attributes
    ----------
    function : callable
        ``(whole (N + n_more,), *scratch) -> (whole (N + n_more,), *scratch)``. What comes in behind
        the first N numbers and in `scratch` does not matter.
    n_more : int
    scratch : tuple of jax.ShapeDtypeStruct
    """

    function: Callable[..., tuple[jax.Array, ...]]
    n_more: int
    scratch: tuple[jax.ShapeDtypeStruct, ...]


def as_a_loop(function: Callable[..., Any], n_in_place: int = 1) -> Callable[..., Any]:
    """Return a function as the body of a loop of one turn, which XLA cannot know to be one.

    Parameters
    ----------
    function : callable
        ``(*arrays) -> tuple of arrays``.
    n_in_place : int
        How many of the first results are like the first inputs, in whose memory they are written.
    """

    def turn(*inputs: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(function(*inputs))

    def loop(*inputs: jax.Array) -> Any:
        in_place, others = inputs[:n_in_place], inputs[n_in_place:]
        structs = jax.eval_shape(function, *inputs)[n_in_place:]
        nothing = [jnp.zeros(x.shape, x.dtype) for x in structs]
        go_on = lax.optimization_barrier(jnp.ones((), dtype=bool))
        return lax.while_loop(
            lambda state: state[0],
            lambda state: (jnp.zeros((), bool), turn(*state[1][:n_in_place], *others)),
            (go_on, (*in_place, *nothing)),
        )[1]

    return loop


def in_two_pieces(program: ClosedJaxpr) -> ProgramInPieces | None:
    """Cut a program in two pieces of about the same size, or return None if that is not worth it.

    Parameters
    ----------
    program : ClosedJaxpr
        From one array of doubles to one of the same length.
    """
    if sum(map(_work, program.jaxpr.eqns)) < LEAST_WORK:
        return None
    flat = _inlined(program)
    jaxpr = flat.jaxpr
    [first], [last] = jaxpr.invars, jaxpr.outvars
    equations = _needed(jaxpr.eqns, jaxpr.outvars)
    cut = _best_cut(equations)
    if cut is None:
        return None
    before, after = equations[:cut], equations[cut:]
    used = {v for equation in after for v in _variables(equation.invars)}
    used |= set(_variables([last]))
    handed = [v for equation in before for v in equation.outvars if v in used]
    copied = [v for v in handed if v.aval.size <= LARGEST_COPIED]
    kept = [v for v in handed if v.aval.size > LARGEST_COPIED]
    n_more = sum(v.aval.size for v in copied)
    if n_more > MOST_COPIED or len(kept) > MOST_ARRAYS:
        return None
    if any(jnp.issubdtype(v.aval.dtype, jnp.complexfloating) for v in copied):
        return None
    n = first.aval.size
    known = dict(zip(jaxpr.constvars, flat.consts, strict=True))

    def piece_before(whole: jax.Array, *_: jax.Array) -> tuple[jax.Array, ...]:
        found = _evaluate(before, {**known, first: whole[:n]})
        parts = [_as_doubles(found[v]).reshape(-1) for v in copied]
        if parts:
            whole = whole.at[n:].set(jnp.concatenate(parts))
        return whole, *(found[v] for v in kept)

    def piece_after(whole: jax.Array, *scratch: jax.Array) -> tuple[jax.Array, ...]:
        found = {**known, first: whole[:n], **dict(zip(kept, scratch, strict=True))}
        begin = n
        for v in copied:
            end = begin + v.aval.size
            # Without a barrier XLA cuts the array up again in every loop that reads a part.
            part = lax.optimization_barrier(whole[begin:end].reshape(v.aval.shape))
            found[v] = _from_doubles(part, v.aval.dtype)
            begin = end
        result = _read(_evaluate(after, found), last)
        return whole.at[:n].set(result), *scratch

    def function(whole: jax.Array, *scratch: jax.Array) -> tuple[jax.Array, ...]:
        n_in_place = 1 + len(scratch)
        handed = as_a_loop(piece_before, n_in_place)(whole, *scratch)
        result: tuple[jax.Array, ...] = as_a_loop(piece_after, n_in_place)(*handed)
        return result

    structs = tuple(jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in kept)
    return ProgramInPieces(function, n_more, structs)


def _as_doubles(x: jax.Array) -> jax.Array:
    if x.dtype.itemsize == 8 and x.dtype != np.float64:
        return lax.bitcast_convert_type(x, np.float64)
    return x.astype(np.float64)


def _from_doubles(x: jax.Array, dtype: Any) -> jax.Array:
    if dtype.itemsize == 8 and dtype != np.float64:
        return lax.bitcast_convert_type(x, dtype)
    return x != 0 if dtype == np.bool_ else x.astype(dtype)


def _inlined(program: ClosedJaxpr) -> ClosedJaxpr:
    """Return a program without calls, but for those in its loops."""

    def run(*inputs: jax.Array) -> list[jax.Array]:
        jaxpr = program.jaxpr
        known = dict(zip(jaxpr.constvars, program.consts, strict=True))
        found = _evaluate(jaxpr.eqns, {**known, **dict(zip(jaxpr.invars, inputs, strict=True))})
        return [_read(found, v) for v in jaxpr.outvars]

    return jax.make_jaxpr(run)(*program.in_avals)


def _evaluate(equations: Sequence[Any], known: Mapping[Any, Any]) -> dict[Any, Any]:
    """Evaluate equations, and those that they call; return all variables."""
    found = dict(known)
    for equation in equations:
        inputs = [_read(found, v) for v in equation.invars]
        called = _called(equation)
        if called is None:
            results = equation.primitive.bind(*inputs, **equation.params)
            if not equation.primitive.multiple_results:
                results = [results]
        else:
            inner = called.jaxpr
            given = dict(zip(inner.constvars, called.consts, strict=True))
            inside = _evaluate(inner.eqns, given | dict(zip(inner.invars, inputs, strict=True)))
            results = [_read(inside, v) for v in inner.outvars]
        found.update(zip(equation.outvars, results, strict=True))
    return found


def _called(equation: Any) -> Any:
    if equation.primitive.name not in _CALLS:
        return None
    programs = [x for x in equation.params.values() if hasattr(x, "consts")]
    return programs[0] if len(programs) == 1 else None


def _is_literal(v: Any) -> bool:
    return hasattr(v, "val")


def _read(found: Mapping[Any, Any], v: Any) -> Any:
    return v.val if _is_literal(v) else found[v]


def _variables(atoms: Sequence[Any]) -> list[Any]:
    return [v for v in atoms if not _is_literal(v)]


def _needed(equations: Sequence[Any], results: Sequence[Any]) -> list[Any]:
    """Return the equations on which results depend, and those that have an effect."""
    wanted = set(_variables(results))
    kept = []
    for equation in reversed(equations):
        if equation.effects or not wanted.isdisjoint(equation.outvars):
            wanted.update(_variables(equation.invars))
            kept.append(equation)
    return kept[::-1]


def _best_cut(equations: Sequence[Any]) -> int | None:
    """Return before which equation to cut."""
    work = np.cumsum([0] + [_work(equation) for equation in equations])
    larger = np.maximum(work, work[-1] - work)
    cut = int(np.argmin(larger))
    if work[-1] < LEAST_WORK or larger[cut] > LARGEST_PART * work[-1]:
        return None
    return cut


def _work(equation: Any) -> int:
    """Return about how much there is to compile."""
    work = sum(min(v.aval.size, COUNTED_OF_AN_ARRAY) for v in equation.outvars)
    for parameter in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns")):
        if hasattr(parameter, "eqns"):
            work += sum(_work(inner) for inner in parameter.eqns)
    return int(work)
