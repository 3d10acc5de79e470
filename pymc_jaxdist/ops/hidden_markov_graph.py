"""The log-density of a hidden Markov model as a PyTensor graph around one native Op.

With it PyTensor's Numba backend evaluates the log-density and its gradients without Python, and so
without the global interpreter lock: the threads of nutpie run side by side.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import HiddenMarkovLogLikelihood
from pymc_jaxdist.kernels.native.hidden_markov_posterior import MAX_STATES
from pymc_jaxdist.ops.hidden_markov_gradients import HiddenMarkovGradients
from pymc_jaxdist.ops.inner_graph import InnerGraph
from pymc_jaxdist.ops.observations_in_a_row import observations_in_a_row
from pymc_jaxdist.ops.stationary_start import StationaryPullback, StationaryStart

__all__ = ["graph_of_log_density", "has_graph", "hidden_markov_graph"]


def hidden_markov_graph(
    kernel: Any, inputs: Sequence[TensorVariable], batch_ndim: int, wrt: Sequence[int]
) -> list[TensorVariable] | None:
    """Return the log-likelihoods of sequences and the gradients of their sum as graphs.

    Parameters
    ----------
    kernel : callable
        The kernel of a `LogDensity`.
    inputs : sequence of TensorVariable
        The arguments of the kernel.
    batch_ndim : int
        Dimensions of the log-likelihoods.
    wrt : sequence of int
        Positions of the inputs whose gradients are wanted.

    Returns
    -------
    list of TensorVariable or None
        The log-likelihoods and the gradients. Exact where all are finite; elsewhere the kernel
        itself has to say what they are. None for kernels that have no such graph: other models,
        more than 64 states.
    """
    if not has_graph(kernel):
        return None
    remaining = list(inputs)
    value, transition_matrix = remaining.pop(0), remaining.pop(0)
    initial_probs = remaining.pop(0) if kernel.initial_probs_given else None
    lengths = remaining.pop(0) if kernel.lengths_given else None
    allowed_states = remaining.pop(0) if kernel.allowed_states_given else None
    lengths_of_states = [*transition_matrix.type.shape[-2:]]
    if initial_probs is not None:
        lengths_of_states.append(initial_probs.type.shape[-1])
    states = next((length for length in lengths_of_states if length is not None), None)
    matrices = 1 if transition_matrix.type.ndim == 2 else transition_matrix.type.shape[-3]
    if states is None or states > MAX_STATES or matrices is None:
        return None
    if initial_probs is None and matrices != 1:
        return None

    batch_shape = [_length(value, axis) for axis in range(batch_ndim)]
    times = _length(value, batch_ndim)
    order, used = _order(lengths, batch_shape, times)
    row = None
    if 0 not in wrt:
        row = observations_in_a_row(kernel, inputs, used, states)
    evidence: Any = 0.0
    for channel, emission in enumerate(kernel.emissions):
        parameters = [remaining.pop(0) for _ in range(emission.n_parameters)]
        column = value if len(kernel.emissions) == 1 else _column(value, channel)
        if row is None:
            own = _log_likelihoods(emission, column, parameters, kernel.may_be_missing)
            own = _of_histories(own, states)
        else:
            own = row.of_histories(
                _log_likelihoods(
                    dataclasses.replace(emission, per_state=False),
                    row.observations(column, parameters),
                    [row.parameter(p) for p in parameters],
                    kernel.may_be_missing,
                )
            )
        evidence = evidence + own
    if allowed_states is not None:
        if row is None:
            allowed_states = _of_histories(allowed_states, states)
        else:
            allowed_states = row.of_states(allowed_states)
        evidence = pt.switch(allowed_states, evidence, -np.inf)

    if row is None:
        evidence = _flat(evidence, batch_shape, [times, states])
    of_one = [states, states] if transition_matrix.type.ndim == 2 else [matrices, states, states]
    matrix = _flat_or_shared(transition_matrix, batch_shape, of_one)
    own_matrix = matrix.type.ndim > len(of_one)
    if matrices == 1 and not own_matrix:
        matrix = matrix.reshape((states, states))
    if initial_probs is None:
        start = StationaryStart(own_matrix)(matrix)
    else:
        start = _flat_or_shared(initial_probs, batch_shape, [states])
    op = HiddenMarkovGradients(
        states,
        own_start=start.type.ndim > 1,
        own_matrix=own_matrix,
        constant=matrices == 1,
        padded=row is None,
    )
    log_likelihood, by_evidence, by_start, by_matrix = op(
        evidence, start, matrix, order, used, return_list=True
    )
    if batch_ndim != 1:
        log_likelihood = log_likelihood.reshape(tuple(batch_shape))
    known = {evidence: by_evidence, matrix: by_matrix}
    if initial_probs is None:
        known[matrix] = by_matrix + StationaryPullback()(matrix, by_start)
    else:
        known[start] = by_start
    wanted = [inputs[i] for i in wrt]
    return [
        log_likelihood,
        *grad(None, wanted, known_grads=known, disconnected_inputs="ignore"),
    ]


def graph_of_log_density(op: Any, node: Apply) -> FunctionGraph | None:
    """Return the graph of a `LogDensity`, from the inputs of its node that are not constant."""
    inputs = [x if isinstance(x, Constant) else x.type() for x in node.inputs]
    outputs = hidden_markov_graph(op.kernel, inputs, op.batch_ndim, op.wrt)
    if outputs is None:
        return None
    moving = [x for x in inputs if not isinstance(x, Constant)]
    return FunctionGraph(moving, outputs, clone=True)


def has_graph(kernel: Any) -> bool:
    """Tell whether a kernel may have a graph: a hidden Markov model of PyTensor's densities."""
    return isinstance(kernel, HiddenMarkovLogLikelihood) and all(
        isinstance(emission, Emission) and isinstance(emission.log_density, InnerGraph)
        for emission in kernel.emissions
    )


def _column(value: TensorVariable, channel: int) -> TensorVariable:
    if isinstance(value, Constant):
        return pt.constant(value.data[..., channel])
    return value[..., channel]


def _log_likelihoods(
    emission: Emission,
    value: TensorVariable,
    parameters: Sequence[TensorVariable],
    may_be_missing: bool,
) -> TensorVariable:
    """Return what `Emission.log_likelihoods` computes; of data, at no cost for what is missing."""
    known = isinstance(value, Constant)
    xp = np if known else pt
    observations: Any = value.data if isinstance(value, Constant) else value
    missing: Any = None
    impossible: Any = None
    if value.type.dtype.startswith("float") and (may_be_missing or emission.discrete):
        axes = tuple(range(-emission.event_ndim, 0))
        absent = xp.isnan(observations)
        in_part, in_whole = (
            (absent.any(axis=axes), absent.all(axis=axes)) if axes else 2 * (absent,)
        )
        if may_be_missing:
            missing = in_whole
        impossible = in_part & ~in_whole if may_be_missing else in_part
        stand_in = _first_present(emission, observations, in_part)
        observations = xp.where(xp.expand_dims(in_part, axes), stand_in, observations)
        if emission.discrete:
            whole = xp.round(observations)
            between = abs(observations - whole) > 0
            impossible |= between.any(axis=axes) if axes else between
            observations = whole.astype("int64")
    if emission.per_state:
        observations = xp.expand_dims(observations, -1 - emission.event_ndim)
    graph = emission.log_density.fgraph  # type: ignore[attr-defined]
    placed = dict(zip(graph.inputs, [pt.as_tensor(observations), *parameters], strict=True))
    log_density = clone_replace(graph.outputs, placed, rebuild_strict=False)[0]
    for instead, where in ((0.0, missing), (-np.inf, impossible)):
        if where is None or (known and not where.any()):
            continue
        spread = xp.expand_dims(where, -1) if emission.per_state else where
        log_density = pt.switch(spread, instead, log_density)
    return cast(TensorVariable, log_density)


def _first_present(emission: Emission, observations: Any, absent: Any) -> Any:
    """Return the first observation that is there, or a number many supports contain."""
    xp = np if isinstance(observations, np.ndarray) else pt
    rows = observations.reshape(
        (-1, *tuple(observations.shape)[observations.ndim - emission.event_ndim :])
    )
    is_absent = absent.reshape((-1,))
    first = rows[xp.argmin(is_absent.astype("int8"))]
    return xp.where(is_absent.all(), 1.0 if emission.discrete else 0.5, first)


def _of_histories(x: TensorVariable, histories: int) -> TensorVariable:
    """Do what `of_histories` does."""
    own = _length(x, -1)
    if own in (1, histories):
        return x
    return pt.tile(x, (*[1] * (x.type.ndim - 1), histories // own))


def _length(x: TensorVariable, axis: int) -> Any:
    """Return the length of an axis, as a number if it is known."""
    known = x.type.shape[axis]
    return x.shape[axis] if known is None else known


def _flat(x: TensorVariable, batch_shape: list[Any], event_shape: list[Any]) -> TensorVariable:
    """Give every sequence its own, and put them on one axis."""
    shape = (*batch_shape, *event_shape)
    if x.type.shape != shape:
        x = pt.broadcast_to(x, shape)
    if len(batch_shape) == 1:
        return x
    return x.reshape((math.prod(batch_shape), *event_shape))


def _flat_or_shared(
    x: TensorVariable, batch_shape: list[Any], event_shape: list[Any]
) -> TensorVariable:
    """Do what `_flat` does, but return one that all sequences share without axes of sequences."""
    own = x.type.shape[: x.type.ndim - len(event_shape)]
    if all(length == 1 for length in own):
        return pt.squeeze(x, axis=tuple(range(len(own)))) if own else x
    return _flat(x, batch_shape, event_shape)


def _order(
    lengths: TensorVariable | None, batch_shape: list[Any], times: Any
) -> tuple[TensorVariable, TensorVariable]:
    """Return the sequences from the longest to the shortest, and how much of each is used."""
    sequences = math.prod(batch_shape)
    known = isinstance(sequences, int) and isinstance(times, int)
    if known and (lengths is None or isinstance(lengths, Constant)):
        given = times if lengths is None else np.clip(lengths.data.astype("int64"), 0, times)
        # A copy, because Numba keeps nothing on disk that holds an array of stride 0.
        used = np.broadcast_to(np.int64(given), batch_shape).flatten()
        return pt.constant(np.argsort(-used, kind="stable")), pt.constant(used)
    if lengths is None:
        return pt.arange(sequences), pt.full((sequences,), times, dtype="int64")
    symbolic = pt.clip(lengths.astype("int64"), 0, times)
    symbolic = pt.broadcast_to(symbolic, tuple(batch_shape)).reshape((sequences,))
    return pt.argsort(-symbolic), symbolic
