"""Hypothesis strategies for hidden Markov problems.

Shapes come from a small static pool, because every new shape compiles. Hypothesis draws the
shape, a seed and the nature of the problem; NumPy builds the arrays, with structural zeros,
duplicate states, impossible observations, padding, and evidence from negligible to extreme.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st


class Case(NamedTuple):
    """A static shape: sizes, batch shapes of each argument, and whether time matters."""

    steps: int
    states: int
    batch: tuple[int, ...] = ()
    start_batch: tuple[int, ...] = ()
    matrix_batch: tuple[int, ...] = ()
    varying: bool = False
    padded: bool = False

    @property
    def full_batch(self):
        return np.broadcast_shapes(self.batch, self.start_batch, self.matrix_batch)


#: Small enough to enumerate all K**T paths of every sequence.
ENUMERABLE = (
    Case(1, 3, (2,)),
    Case(5, 1, (2,)),
    Case(6, 2, (3,), padded=True),
    Case(4, 3, varying=True),
    Case(5, 3, (2, 2), (2, 1), (2,), padded=True),
    Case(4, 4, (2,), (2,), (2,), varying=True),
)
#: Longer, and with enough states for matrix products instead of elementwise loops.
LONGER = (
    Case(40, 3, (4,), padded=True),
    Case(30, 10, (3,), padded=True),
    Case(9, 10, (), (), (2,), varying=True, padded=True),
)
CASES = ENUMERABLE + LONGER


class Problem(NamedTuple):
    """Arguments of a hidden Markov kernel; `lengths` may be None."""

    log_likelihoods: np.ndarray
    initial_probs: np.ndarray
    transition_matrix: np.ndarray
    lengths: np.ndarray | None

    def sequences(self):
        """Give (ll, start, matrix) of every sequence, padding cut off, in batch order."""
        ll, start, matrix, lengths = self
        steps, states = ll.shape[-2:]
        batch = np.broadcast_shapes(
            ll.shape[:-2],
            start.shape[:-1],
            matrix.shape[:-3],
            () if lengths is None else lengths.shape,
        )
        matrix = matrix if matrix.ndim > 2 else matrix[None]
        ll = np.broadcast_to(ll, batch + ll.shape[-2:])
        start = np.broadcast_to(start, (*batch, states))
        matrix = np.broadcast_to(matrix, batch + matrix.shape[-3:])
        ends = np.broadcast_to(steps if lengths is None else lengths, batch)
        for index in np.ndindex(*batch):
            end = ends[index]
            own = matrix[index]
            yield ll[index][:end], start[index], own if len(own) == 1 else own[: max(end - 1, 0)]

    @property
    def batch(self):
        ll, start, matrix, lengths = self
        shapes = ll.shape[:-2], start.shape[:-1], matrix.shape[:-3]
        return np.broadcast_shapes(*shapes, () if lengths is None else lengths.shape)


def _probabilities(rng, shape, zeros):
    probs = rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
    if zeros:
        kept = rng.random(shape) > zeros
        # Every row keeps one entry.
        np.put_along_axis(kept, rng.integers(shape[-1], size=shape[:-1])[..., None], True, -1)
        probs = np.where(kept, probs + 1e-3, 0)
        probs /= probs.sum(axis=-1, keepdims=True)
    return probs


def build_problem(case, seed, *, zeros=0.0, scale=1.0, impossible=0.0, duplicate=False):
    """Build the arrays of one problem from a seed."""
    rng = np.random.default_rng(seed)
    steps, states = case.steps, case.states
    ll = rng.normal(scale=scale, size=(*case.batch, steps, states))
    if impossible:
        ll[rng.random(ll.shape) < impossible] = -np.inf
    start = _probabilities(rng, (*case.start_batch, states), zeros)
    if case.varying:
        matrix_shape = (*case.matrix_batch, steps - 1, states, states)
    elif case.matrix_batch:
        matrix_shape = (*case.matrix_batch, 1, states, states)
    else:
        matrix_shape = (states, states)
    matrix = _probabilities(rng, matrix_shape, zeros)
    if duplicate and states > 1:
        ll[..., 1] = ll[..., 0]
        matrix[..., 1, :] = matrix[..., 0, :]
    lengths = None
    if case.padded:
        lengths = rng.integers(0, steps + 1, size=case.full_batch)
        # What padding holds must not matter, except that each sequence has its own.
        if case.batch == case.full_batch:
            padding = np.arange(steps) >= lengths[..., None]
            ll[padding] = rng.choice([np.nan, np.inf, -np.inf, 1e30])
    return Problem(ll, start, matrix, lengths)


@st.composite
def problems(draw, cases=CASES, scales=(1e-2, 1.0, 10.0, 300.0), zeros=(0.0, 0.4)):
    """Draw a `Problem`."""
    case = draw(st.sampled_from(cases))
    return build_problem(
        case,
        draw(st.integers(0, 2**32 - 1)),
        zeros=draw(st.sampled_from(zeros)),
        scale=draw(st.sampled_from(scales)),
        impossible=draw(st.sampled_from((0.0, 0.15))),
        duplicate=draw(st.booleans()),
    )


def reducible_matrix(rng, states, transient):
    """A transition matrix with one recurrent class and `transient` states before it."""
    matrix = _probabilities(rng, (states, states), 0.0)
    matrix[transient:, :transient] = 0
    matrix /= matrix.sum(axis=-1, keepdims=True)
    order = rng.permutation(states)
    return matrix[np.ix_(order, order)]
