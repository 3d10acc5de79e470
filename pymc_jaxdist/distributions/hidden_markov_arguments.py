"""From the arguments a user writes to a checked hidden Markov model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.arguments import as_probabilities, known_shape, known_value
from pymc_jaxdist.distributions.autoregressive import AutoRegressive
from pymc_jaxdist.distributions.autoregressive_distribution import AutoRegressiveDistribution
from pymc_jaxdist.distributions.emission import EmissionDistribution
from pymc_jaxdist.distributions.hidden_markov_checks import check_emissions, check_sequences
from pymc_jaxdist.distributions.hidden_markov_model import HiddenMarkovModel
from pymc_jaxdist.distributions.memory import refuse_what_does_not_fit
from pymc_jaxdist.distributions.observation_checks import (
    check_allowed_states,
    check_lengths,
    check_observed,
    check_shape_of_data,
)
from pymc_jaxdist.distributions.probability_checks import (
    check_initial_probs,
    check_transition_matrix,
)
from pymc_jaxdist.distributions.registration import PreparedModel
from pymc_jaxdist.distributions.state_expansion import (
    expand_initial_probs,
    expand_transition_matrix,
    n_states_of,
)
from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message

__all__ = ["prepare"]


def prepare(
    where: str,
    emission: Any,
    transition_matrix: Any,
    initial_probs: Any,
    *,
    lengths: Any,
    allowed_states: Any,
    observed: TensorVariable | None,
    shape: Any,
    steps: int | None,
    order: int = 1,
) -> PreparedModel[HiddenMarkovModel]:
    """Check the arguments of `MarginalHMM` and put them in order.

    Parameters
    ----------
    where : str
        The distribution and its name, for error messages.
    emission, transition_matrix, initial_probs, lengths, allowed_states, observed, shape, steps
        As in `MarginalHMM`; ``observed`` as a tensor.
    order : int
        As in `MarginalHMM`.

    Returns
    -------
    PreparedModel
        With the parameters as tensors.
    """
    distributions = emission if isinstance(emission, tuple | list) else (emission,)
    if not distributions:
        raise ParameterError(compose_message(where, "emission must not be empty.", got="()"))
    cuts = [
        _cut(d, where, _column(observed, channel, len(distributions)))
        for channel, d in enumerate(distributions)
    ]
    emissions = tuple(emission for emission, _ in cuts)
    transition_matrix = as_probabilities(where, "transition_matrix", transition_matrix)
    memory = max([order, *(emission.memory for emission in emissions)])
    n_remembered_states = None
    if memory > 1 or order != 1:
        n_remembered_states = n_states_of(where, transition_matrix, order)
        sizes = (n_remembered_states, order, memory)
        n_histories = n_remembered_states**memory
        refuse_what_does_not_fit(
            where,
            {
                f"{n_histories} histories of {memory} states, and their transitions": [n_histories]
                * 2
            },
            "a lower order, or AutoRegressive without mean=, which remembers no states",
        )
        if not isinstance(initial_probs, str):
            initial_probs = as_probabilities(where, "initial_probs", initial_probs)
        initial_probs = expand_initial_probs(where, initial_probs, *sizes)
        transition_matrix = expand_transition_matrix(transition_matrix, *sizes)

    data = None if observed is None else known_value(observed)
    if data is not None:
        check_observed(where, data, emissions)
        check_shape_of_data(where, data, shape, steps, emissions)
    initial = _initial_probs(where, initial_probs, transition_matrix)
    extent = _extent(where, shape, steps, emissions, transition_matrix, initial)
    n_times = _static_length(extent.n_times)
    # Data that can be replaced are checked as they are now.
    sequence_shape = tuple(_static_length(n) for n in (*extent.batch_shape, extent.n_times))
    if data is not None:
        sequence_shape = data.shape[: len(sequence_shape)]
    n_states = check_transition_matrix(
        where,
        transition_matrix,
        sequence_shape[-1],
        states_of=_told_states(initial, emissions),
    )
    n_histories, n_states = n_states, n_remembered_states or n_states
    check_emissions(where, emissions, n_states, sequence_shape[-1])
    batch_shape = sequence_shape[:-1]
    matrix_shape = known_shape(transition_matrix)
    check_sequences(where, "transition_matrix", matrix_shape[:-3], batch_shape)
    for one in emissions:
        check_sequences(where, "emission", one.batch_shape[:-2], batch_shape)

    refuse_what_does_not_fit(
        where,
        {
            "emission terms (..., T, K)": (*sequence_shape, n_histories),
            "their gradient": (*sequence_shape, n_histories),
            "transition matrices (..., K, K)": matrix_shape,
            "their gradient, too": matrix_shape,
        },
        "fewer sequences at a time (pm.Minibatch), fewer states, or shorter sequences",
    )
    parameters = [transition_matrix]
    if initial is not None:
        check_initial_probs(where, initial, transition_matrix, n_histories)
        leading = known_shape(initial)[:-1]
        check_sequences(where, "initial_probs", leading, batch_shape)
        parameters.append(initial)
    if lengths is not None:
        lengths = pt.as_tensor_variable(lengths)
        check_lengths(where, lengths, sequence_shape[-1], batch_shape)
        parameters.append(lengths)
    if allowed_states is not None:
        if np.ma.isMaskedArray(allowed_states):
            allowed_states = allowed_states.filled(-1)
        allowed_states = pt.as_tensor_variable(allowed_states)
        states_now = known_value(allowed_states)
        if states_now is not None:
            check_allowed_states(where, states_now, n_states, sequence_shape)
        n_labels = n_remembered_states or transition_matrix.shape[-1]
        parameters.append(_mask_of_states(allowed_states, n_labels))
    for _, own in cuts:
        parameters.extend(own)
    if n_times is None:
        parameters.append(extent.n_times)

    model = HiddenMarkovModel(
        emissions=emissions,
        initial_probs_given=initial is not None,
        lengths_given=lengths is not None,
        allowed_states_given=allowed_states is not None,
        may_be_missing=_may_be_missing(observed),
        dtype=_dtype(emissions, observed),
        n_times=n_times,
        ndim=len(extent.shape),
        memory=memory,
        n_remembered_states=n_remembered_states,
    )
    return PreparedModel(model, parameters, extent.shape)


def _cut(
    emission: Any, where: str, observed: TensorVariable | None
) -> tuple[AnyEmission, list[TensorVariable]]:
    """Cut one channel's emission off at its parameters."""
    if isinstance(emission, AutoRegressive):
        return AutoRegressiveDistribution.cut(emission, where, observed)
    return EmissionDistribution.cut(emission, where)


def _column(observed: TensorVariable | None, channel: int, n: int) -> TensorVariable | None:
    return observed if observed is None or n == 1 else observed[..., channel]


class _Extent(NamedTuple):
    """Lengths of the dimensions of a variable."""

    shape: tuple[Any, ...]
    batch_shape: tuple[Any, ...]
    n_times: Any


def _extent(
    where: str,
    shape: Any,
    steps: int | None,
    emissions: Sequence[AnyEmission],
    transition_matrix: TensorVariable,
    initial_probs: TensorVariable | None,
) -> _Extent:
    """Find the shape of the variable from whatever tells it."""
    event_ndim = 1 if len(emissions) > 1 else emissions[0].event_ndim
    if shape is None:
        n_times = steps if steps is not None else _implied_n_times(emissions, transition_matrix)
        batch_shape = _implied_batch_shape(where, emissions, transition_matrix, initial_probs)
        event_shape = (len(emissions),) if len(emissions) > 1 else emissions[0].event_shape
        shape = (*batch_shape, n_times, *event_shape)
    else:
        shape = tuple(shape) if isinstance(shape, Sequence | np.ndarray) else (shape,)
    if len(shape) < 1 + event_ndim:
        raise ShapeError(
            compose_message(
                where,
                "shape must be (..., T), or (..., T, D) for several channels.",
                got=str(shape),
            )
        )
    n_times = shape[-1 - event_ndim]
    if n_times is None:
        raise ShapeError(
            compose_message(
                where,
                "the number of times T is not known.",
                suggestion="steps=T, shape=(..., T), dims=... or observed=...",
            )
        )
    static_n_times = _static_length(n_times)
    if static_n_times is not None and static_n_times < 1:
        raise ShapeError(
            compose_message(
                where, "a sequence needs at least one observation.", got=f"T = {static_n_times}"
            )
        )
    return _Extent(shape, shape[: len(shape) - 1 - event_ndim], n_times)


def _implied_n_times(
    emissions: Sequence[AnyEmission], transition_matrix: TensorVariable
) -> int | None:
    """Return T if a parameter that varies in time tells it."""
    for emission in emissions:
        if len(emission.batch_shape) > 1 and emission.batch_shape[-2] not in (None, 1):
            return emission.batch_shape[-2]
    if transition_matrix.type.ndim > 2 and transition_matrix.type.shape[-3] not in (None, 1):
        return transition_matrix.type.shape[-3] + 1
    return None


def _implied_batch_shape(
    where: str,
    emissions: Sequence[AnyEmission],
    transition_matrix: TensorVariable,
    initial_probs: TensorVariable | None,
) -> tuple[int, ...]:
    """Return the leading dimensions that the parameters broadcast to."""
    shapes = [emission.batch_shape[:-2] for emission in emissions]
    shapes.append(transition_matrix.type.shape[:-3])
    if initial_probs is not None:
        shapes.append(initial_probs.type.shape[:-1])
    known = [tuple(n for n in shape if n is not None) for shape in shapes]
    if known != shapes:
        raise ShapeError(
            compose_message(
                where,
                "the number of sequences is not known.",
                got="parameters of unknown length",
                suggestion="shape=(N, T), dims=... or observed=...",
            )
        )
    try:
        return np.broadcast_shapes(*known)
    except ValueError:
        raise ShapeError(
            compose_message(
                where,
                "the leading dimensions of the parameters do not broadcast.",
                got=", ".join(str(shape) for shape in shapes),
            )
        ) from None


def _told_states(
    initial_probs: TensorVariable | None, emissions: Sequence[AnyEmission]
) -> tuple[str, int] | None:
    """Return an argument other than the transition matrix that tells K, and K."""
    if initial_probs is not None and initial_probs.type.ndim:
        n_states = known_shape(initial_probs)[-1]
        if n_states is not None:
            return "initial_probs", n_states
    for emission in emissions:
        if emission.batch_shape and emission.batch_shape[-1] not in (None, 1):
            return "emission", int(emission.batch_shape[-1])
    return None


def _static_length(length: Any) -> int | None:
    """Return a length if it is known while the model is built."""
    if isinstance(length, Variable):
        value = known_value(length) if isinstance(length, Constant) else None
        return None if value is None else int(value)
    return None if length is None else int(length)


def _initial_probs(
    where: str, initial_probs: Any, transition_matrix: TensorVariable
) -> TensorVariable | None:
    """Return initial probabilities as a tensor, or None for the stationary distribution."""
    if not isinstance(initial_probs, str):
        return as_probabilities(where, "initial_probs", initial_probs)
    if initial_probs == "uniform":
        n_states = transition_matrix.shape[-1]
        return pt.ones((n_states,)) / n_states
    if initial_probs != "stationary":
        raise ParameterError(
            compose_message(
                where,
                "initial_probs is not a known choice.",
                got=repr(initial_probs),
                expected='"stationary", "uniform" or probabilities of shape (..., K)',
            )
        )
    if transition_matrix.type.ndim > 2 and transition_matrix.type.shape[-3] != 1:
        raise ParameterError(
            compose_message(
                where,
                "a transition_matrix that varies in time has no stationary distribution.",
                got=f'initial_probs="stationary" and a transition_matrix with '
                f"{transition_matrix.type.ndim} dimensions",
                suggestion='initial_probs="uniform", or pm.Dirichlet("p0", a=np.ones(K))',
            )
        )
    return None


def _mask_of_states(allowed_states: TensorVariable, n_states: Any) -> TensorVariable:
    """Return a mask ``(..., T, K)`` of the states each observation may come from."""
    if allowed_states.type.dtype == "bool":
        return allowed_states
    states = pt.arange(n_states)
    labels = allowed_states[..., None]
    return pt.eq(labels, states) | pt.lt(labels, 0)


def _may_be_missing(observed: TensorVariable | None) -> bool:
    """Tell whether NaN can turn up; only constant data without NaN is sure not to hold any."""
    if isinstance(observed, Constant):
        return bool(np.isnan(observed.data).any())
    return True


def _dtype(emissions: Sequence[AnyEmission], observed: TensorVariable | None) -> str:
    """Return the type of draws: integers only if every channel is and no NaN need be held."""
    if not all(emission.discrete for emission in emissions):
        return "float64"
    if observed is None or not observed.type.dtype.startswith("float"):
        return "int64"
    whole = isinstance(observed, Constant) and not np.isnan(observed.data).any()
    return "int64" if whole else "float64"
