r"""Chains that remember several states, as chains of their histories.

A history is a tuple :math:`(z_{t-m+1}, \dots, z_t)` of the last m states, oldest first. Histories
are numbered in that order, so that number ``h`` ends in state ``h % K``, and the histories that
can follow it begin where it goes on: the others have probability exactly zero.
"""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import describe, known_shape
from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message

__all__ = ["expand_initial_probs", "expand_transition_matrix", "n_states_of"]


def n_states_of(where: str, transition_matrix: TensorVariable, order: int) -> int:
    """Return K from the shape of the transition probabilities of a chain of higher order.

    Parameters
    ----------
    where : str
        For error messages.
    transition_matrix : (..., K, ..., K) tensor
        ``transition_matrix[h, i, j]`` is the probability of j after h and i, for order 2.
    order : int
        How many states the next depends on.
    """
    if not isinstance(order, int | np.integer) or order < 1:
        raise ParameterError(
            compose_message(
                where,
                "order must be a positive integer.",
                got=repr(order),
                suggestion="order=2",
            )
        )
    shape = known_shape(transition_matrix)
    own = shape[-1 - order :]
    if len(own) < order + 1 or len(set(own)) != 1 or own[0] is None:
        layout = ", ".join("K" * (order + 1))
        raise ShapeError(
            compose_message(
                where,
                f"transition_matrix must have shape (..., {layout}).",
                got=describe(transition_matrix, shape),
                expected=f"{order} axes of states before the last, because order = {order}, "
                "all of the same known length",
                suggestion=f"pm.Dirichlet('P', a=np.ones(({layout})))",
            )
        )
    return own[0]


def expand_transition_matrix(
    transition_matrix: TensorVariable, n_states: int, order: int, memory: int
) -> TensorVariable:
    """Return the transition matrix between histories.

    Parameters
    ----------
    transition_matrix : (..., K, ..., K) tensor
        As for `n_states_of`.
    n_states, order : int
        K, and how many states the next depends on.
    memory : int
        Length of a history, not less than ``order``.

    Returns
    -------
    (..., K**memory, K**memory) tensor

    Examples
    --------
    >>> import numpy as np, pytensor.tensor as pt
    >>> P = pt.constant(np.array([[0.9, 0.1], [0.2, 0.8]]))
    >>> expand_transition_matrix(P, 2, 1, 2).eval()
    array([[0.9, 0.1, 0. , 0. ],
           [0. , 0. , 0.2, 0.8],
           [0.9, 0.1, 0. , 0. ],
           [0. , 0. , 0.2, 0.8]])
    """
    batch = tuple(transition_matrix.shape)[: transition_matrix.type.ndim - order - 1]
    rows = transition_matrix.reshape((*batch, n_states**order, n_states))
    history = np.arange(n_states**memory)
    onward = history[:, None] % n_states ** (memory - 1) == history // n_states
    # Histories end in the states of the order, and begin with those before: copies side by side.
    # (PyTensor 2 forgets lengths behind an index, and JAX must know them.)
    from_histories = pt.concatenate([rows] * n_states ** (memory - order), axis=-2)
    copies = pt.concatenate([from_histories] * n_states ** (memory - 1), axis=-1)
    return pt.switch(onward, copies, 0.0)


def expand_initial_probs(
    where: str, initial_probs: Any, n_states: int, order: int, memory: int
) -> Any:
    """Return the distribution of the first history.

    Parameters
    ----------
    where : str
        For error messages.
    initial_probs : str or (..., K, ..., K) tensor
        Joint distribution of the last ``order`` states at the first observation, oldest first.
    n_states, order, memory : int
        As for `expand_transition_matrix`.

    Returns
    -------
    str or (..., K**memory) tensor
    """
    if isinstance(initial_probs, str):
        return initial_probs
    shape = known_shape(initial_probs)
    if len(shape) < order or any(n not in (None, n_states) for n in shape[-order:]):
        layout = ", ".join([str(n_states)] * order)
        raise ShapeError(
            compose_message(
                where,
                f"initial_probs must have {order} axes of states, because order = {order}.",
                got=describe(initial_probs, shape),
                expected=f"(..., {layout}): the joint distribution of the first state and the "
                f"{order - 1} before it, oldest first",
                suggestion='initial_probs="stationary"',
            )
        )
    batch = tuple(initial_probs.shape)[: initial_probs.type.ndim - order]
    known = initial_probs.reshape((*batch, n_states**order))
    # Nothing that is observed depends on states older than those of the order, at the first
    # observation: any distribution of them will do.
    copies = n_states ** (memory - order)
    return pt.concatenate([known] * copies, axis=-1) / copies
