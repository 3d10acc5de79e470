"""Random draws from a hidden Markov model, as PyTensor graphs."""

from collections.abc import Sequence
from typing import Any

import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

__all__ = ["draw_states", "select_state"]


def draw_states(
    initial_probs: TensorVariable,
    transition_matrix: TensorVariable,
    batch_shape: Sequence[Any],
    n_times: TensorVariable,
) -> TensorVariable:
    """Draw hidden state paths.

    Parameters
    ----------
    initial_probs : (..., K) tensor
        Distribution of the first state.
    transition_matrix : (..., T-1 or 1, K, K) tensor
        Transition probabilities, from row to column.
    batch_shape : sequence of int or scalar tensor
        Leading dimensions of the paths.
    n_times : scalar tensor
        Length T of the paths.

    Returns
    -------
    (..., T) tensor of int64
        State paths.
    """
    # One uniform number an observation, compared with cumulative probabilities: the recursion
    # over time is then deterministic, and the graph has a single random variable.
    uniform = pm.Uniform.dist(0.0, 1.0, size=(n_times, *batch_shape))
    cumulative = pt.cumsum(transition_matrix, axis=-1)[..., :-1]

    first = pt.sum(
        uniform[0][..., None] > pt.cumsum(initial_probs, axis=-1)[..., :-1],
        axis=-1,
        dtype="int64",
    )

    states = pt.arange(transition_matrix.shape[-1])

    def step(t: Any, u: Any, state: Any, cumulative: Any, n_matrices: Any, states: Any) -> Any:
        matrix = cumulative[..., pt.minimum(t, n_matrices - 1), :, :]
        row = pt.sum(pt.eq(state[..., None], states)[..., None] * matrix, axis=-2)
        return pt.sum(u[..., None] > row, axis=-1, dtype="int64")

    later = pytensor.scan(
        step,
        sequences=[pt.arange(n_times - 1), uniform[1:]],
        outputs_info=[first],
        non_sequences=[cumulative, transition_matrix.shape[-3], states],
        strict=True,
        return_updates=False,
    )
    paths = pt.concatenate([first[None], later], axis=0)
    return pt.moveaxis(paths, 0, -1)


def select_state(
    of_every_state: TensorVariable, states: TensorVariable, event_ndim: int
) -> TensorVariable:
    """Pick, from draws under every state, those of the states visited.

    Parameters
    ----------
    of_every_state : (..., T, K) or (..., T, K, D) tensor
        A draw for every time and state.
    states : (..., T) tensor of int64
        State paths.
    event_ndim : int
        1 if the draws have a last dimension D, else 0.

    Returns
    -------
    (..., T) or (..., T, D) tensor
        The observations.
    """
    state_axis = -1 - event_ndim
    index = pt.shape_padright(states, 1 + event_ndim)
    return pt.take_along_axis(of_every_state, index, axis=state_axis).squeeze(state_axis)
