"""Whether transition matrices and initial probabilities are probabilities of the right shape."""

import numpy as np
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import (
    describe,
    first_index,
    known_shape,
    known_value,
)
from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message

__all__ = ["check_initial_probs", "check_transition_matrix"]

# Tighter than any rounding a person types (0.333), looser than single precision data.
ROW_SUM_TOLERANCE = 1e-6


def check_transition_matrix(
    where: str,
    transition_matrix: TensorVariable,
    n_times: int | None,
    *,
    stochastic: bool = True,
    states_of: tuple[str, int] | None = None,
) -> int | None:
    """Check shape and values of a transition matrix; return the number of states if known.

    ``states_of`` names an argument that tells the number of states, for the message.
    """
    shape = known_shape(transition_matrix)
    square = len(shape) >= 2 and (shape[-1] == shape[-2] or None in shape[-2:])
    if not square or shape[-1] == 0:
        expected, k = "one row and one column for each state", "K"
        if states_of is not None:
            k = str(states_of[1])
            expected = f"({k}, {k})  because {states_of[0]} has K = {k}"
        raise ShapeError(
            compose_message(
                where,
                "transition_matrix must have shape (..., K, K).",
                got=describe(transition_matrix, shape),
                expected=expected,
                suggestion=f"pm.Dirichlet('{transition_matrix.name or 'P'}', "
                f"a=np.ones(({k}, {k})))",
            )
        )
    if len(shape) >= 3 and n_times is not None and shape[-3] not in (None, 1, n_times - 1):
        raise ShapeError(
            compose_message(
                where,
                "a transition_matrix that varies in time must have shape (..., T-1, K, K).",
                got=describe(transition_matrix, shape),
                expected=f"{max(n_times - 1, 1)} or 1 on axis -3, because T = {n_times}",
                suggestion="transition_matrix[:, None] if that axis counts sequences",
            )
        )
    _check_probabilities(where, "transition_matrix", transition_matrix, "row", stochastic)
    return shape[-1] if shape[-1] is not None else shape[-2]


def check_initial_probs(
    where: str,
    initial_probs: TensorVariable,
    transition_matrix: TensorVariable,
    n_states: int | None,
    stochastic: bool = True,
) -> None:
    """Check that initial probabilities fit the transition matrix and are probabilities."""
    shape = known_shape(initial_probs)
    if len(shape) == 0:
        raise ShapeError(
            compose_message(
                where,
                "initial_probs must have shape (..., K).",
                got=describe(initial_probs, shape),
                suggestion='initial_probs="stationary" or pm.Dirichlet("p0", a=np.ones(K))',
            )
        )
    if n_states is not None and shape[-1] not in (None, n_states):
        raise ShapeError(
            compose_message(
                where,
                "transition_matrix and initial_probs must have the same number of states.",
                got=f"initial_probs {describe(initial_probs, shape)}",
                expected=f"K = {n_states}, because transition_matrix has shape "
                f"{describe(transition_matrix)}",
            )
        )
    _check_probabilities(where, "initial_probs", initial_probs, "vector", stochastic)


def _check_probabilities(
    where: str, argument: str, variable: TensorVariable, unit: str, stochastic: bool
) -> None:
    value = known_value(variable)
    if value is None or not value.size:
        return
    if not np.isfinite(value).all():
        raise ParameterError(
            compose_message(
                where,
                f"{argument} must be finite.",
                got=f"{int((~np.isfinite(value)).sum())} entries that are NaN or infinite",
            )
        )
    if (value < 0).any():
        raise ParameterError(
            compose_message(
                where,
                f"{argument} must not be negative.",
                got=f"{value.min():.6g} at index {first_index(value < 0)}",
                expected="probabilities between 0 and 1",
            )
        )
    sums = value.sum(axis=-1)
    wrong = np.abs(sums - 1) > ROW_SUM_TOLERANCE
    if stochastic and wrong.any():
        index = first_index(wrong)
        raise ParameterError(
            compose_message(
                where,
                f"each {unit} of {argument} must sum to 1.",
                got=f"{sums[index]:.6g} for {unit} {index if index else ''}".rstrip(),
                suggestion=f"{argument} / {argument}.sum(axis=-1, keepdims=True)",
            )
        )
