"""A program in two pieces gives what the program gives, whatever goes from one to the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pymc_jaxdist.kernels import program_pieces
from pymc_jaxdist.kernels.program_pieces import LARGEST_COPIED, as_a_loop, in_two_pieces

N = 6
LARGEST_INTEGER = 2**63 - 1


def doubled(n_turns, x):
    return jax.lax.fori_loop(0, n_turns, lambda _, x: x + x, x)


def of_many_kinds(whole):
    """Between the loops there are arrays of all kinds, one of them long, one without numbers."""
    first = doubled(3, whole)
    flags = first > 4.0
    large = jnp.where(flags, LARGEST_INTEGER, -LARGEST_INTEGER)
    small = jnp.sum(flags).astype(jnp.int32)
    single = whole.astype(jnp.float32)
    number = jnp.float64
    long = jnp.outer(whole, jnp.arange(LARGEST_COPIED / N + 1)).at[0, 0].set(jnp.nan)
    nothing = jnp.zeros((0, 2)) + whole[0]
    second = doubled(small, whole)
    return (
        second
        + jnp.where(large == LARGEST_INTEGER, 1.0, 0.0)
        + jnp.where(large == -LARGEST_INTEGER, 0.25, 0.0)
        + single.astype(number)
        + jax.nn.relu(long[:, -1])
        + jnp.isnan(long[0, 0]).astype(number)
        + jnp.sum(nothing)
    )


@pytest.fixture
def cut_everything(monkeypatch):
    monkeypatch.setattr(program_pieces, "LEAST_WORK", 0)
    monkeypatch.setattr(program_pieces, "LARGEST_PART", 1.0)


def in_pieces(function, n=N):
    return in_two_pieces(jax.make_jaxpr(jax.jit(function))(jnp.zeros(n)))


def extended(whole, pieces):
    """Return the whole with what does not matter: NaN."""
    scratch = [jnp.ones(x.shape, x.dtype) for x in pieces.scratch]
    return jnp.concatenate([whole, jnp.full(pieces.n_more, jnp.nan)]), *scratch


@pytest.mark.parametrize("place", range(1, 40, 3))
def test_wherever_it_is_cut(monkeypatch, cut_everything, place):
    monkeypatch.setattr(program_pieces, "_best_cut", lambda equations: min(place, len(equations)))
    pieces = in_pieces(of_many_kinds)
    compiled = jax.jit(pieces.function)
    for seed in range(3):
        whole = jnp.asarray(np.random.default_rng(seed).normal(size=N))
        found, *scratch = compiled(*extended(whole, pieces))
        assert_array_equal(found[:N], jax.jit(of_many_kinds)(whole))
        # What comes back goes in again.
        again, *_ = compiled(found.at[:N].set(whole), *scratch)
        assert_array_equal(again[:N], found[:N])


def test_what_is_long_is_not_copied(monkeypatch, cut_everything):
    def function(whole):
        first = doubled(3, jnp.outer(whole, jnp.ones(LARGEST_COPIED)))
        return doubled(4, jnp.sum(first, axis=1))

    pieces = in_pieces(function)
    assert pieces.n_more <= LARGEST_COPIED
    assert [x.size for x in pieces.scratch] in ([], [N * LARGEST_COPIED])


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12))
def test_the_cut_is_in_the_middle_of_the_work(lengths):
    def function(whole):
        for i, length in enumerate(lengths):
            whole = jax.lax.while_loop(
                lambda x: x[0] < 1.0,
                lambda x, length=length: sum(jnp.sin(float(k) * x) for k in range(length)),
                whole + float(i),
            )
        return whole

    program = jax.make_jaxpr(function)(jnp.zeros(N))
    equations = program_pieces._needed(program.jaxpr.eqns, program.jaxpr.outvars)
    work = [program_pieces._work(equation) for equation in equations]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program_pieces, "LEAST_WORK", 0)
        cut = program_pieces._best_cut(equations)
    if cut is None:
        cut = 0
        limit = program_pieces.LARGEST_PART * sum(work)
        assert all(max(sum(work[:i]), sum(work[i:])) > limit for i in range(len(work)))
    else:
        larger = max(sum(work[:cut]), sum(work[cut:]))
        assert all(max(sum(work[:i]), sum(work[i:])) >= larger for i in range(len(work)))


def test_small_programs_stay_whole():
    assert in_pieces(lambda x: doubled(2, doubled(3, x))) is None


def test_programs_of_one_large_loop_stay_whole(monkeypatch):
    monkeypatch.setattr(program_pieces, "LEAST_WORK", 0)

    def function(whole):
        return jax.lax.fori_loop(0, 3, lambda _, x: jnp.sin(jnp.cos(jnp.tan(x))) + x, whole + whole)

    assert in_pieces(function) is None


def test_complex_numbers_are_not_handed_over(monkeypatch, cut_everything):
    def function(whole):
        turned = doubled(3, whole.astype(complex))
        return jnp.abs(doubled(3, turned))

    monkeypatch.setattr(program_pieces, "_best_cut", lambda equations: len(equations) // 2)
    assert in_pieces(function) is None


def test_what_nobody_needs_is_left_out_but_not_what_has_an_effect(cut_everything):
    seen = []

    def function(whole):
        jnp.linalg.inv(jnp.outer(whole, whole))
        jax.debug.callback(lambda x: seen.append(float(x)), whole[0])
        return doubled(2, doubled(3, whole))

    pieces = in_pieces(function)
    whole = jnp.full(N, 5.0)
    lowered = jax.jit(pieces.function).lower(*extended(whole, pieces))
    assert "lapack" not in lowered.as_text()
    found, *_ = lowered.compile()(*extended(whole, pieces))
    assert_array_equal(found[:N], 32.0 * whole)
    jax.effects_barrier()
    assert seen == [5.0]


def test_a_loop_of_one_turn_is_the_function_itself():
    def function(x, y):
        return x + y, x > y, jnp.arange(3)

    x, y = jnp.arange(4.0), jnp.ones(4)
    for mine, right in zip(jax.jit(as_a_loop(function))(x, y), function(x, y), strict=True):
        assert_array_equal(mine, right, strict=True)
