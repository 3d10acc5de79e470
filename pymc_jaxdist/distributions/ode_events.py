"""Doses and jumps at known times, as a user describes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import as_floats, known_shape, known_value
from pymc_jaxdist.errors import DataError, ParameterError, ShapeError, compose_message
from pymc_jaxdist.kernels.ode.events import DoseEvent, JumpEvent
from pymc_jaxdist.ops.by_value import ByValue

__all__ = ["Doses", "Jumps", "event_leaves", "run_in"]


@dataclass(frozen=True, eq=False)
class Doses:
    """Amounts given to one state at known times, at once or over a while.

    An observation at the time of a dose is made before it.

    Parameters
    ----------
    times : tensor_like ``(K,)`` or ``(..., K)``
        When the doses are given, per subject if there are leading dimensions. NaN pads the doses
        of a subject that has fewer.
    amounts : tensor_like, broadcasts with ``times``
        How much is added to the state.
    state : int or str
        Index or name of the state.
    duration : tensor_like, broadcasts with ``times``, optional
        If given, each dose flows in at a constant rate for so long.
    interval : float, optional
        Time between repetitions of each dose.
    additional : int
        Number of repetitions of each dose.
    steady_state : int
        Number of doses, like the first and an interval apart, that were given before it. ``y0`` is
        then the state before these: the solution begins ``steady_state * interval`` before ``t0``.
        What is missing to the steady state falls by the same factor with each dose:
        ``exp(-rate * interval)`` for the slowest rate of elimination.
    rate : tensor_like, broadcasts with ``times``, optional
        In place of `duration`: the rate at which each dose flows in, amount per time.

    Examples
    --------
    100 units every 12 hours, four times:

    >>> from pymc_jaxdist import Doses
    >>> doses = Doses(times=[0.0], amounts=100.0, state=0, interval=12.0, additional=3)

    The same in a patient who has taken them for two weeks:

    >>> doses = Doses([0.0], 100.0, state=0, interval=12.0, additional=3, steady_state=28)
    """

    times: Any
    amounts: Any
    state: int | str
    duration: Any = None
    interval: Any = None
    additional: int = 0
    steady_state: int = 0
    rate: Any = None

    @property
    def is_infusion(self) -> bool:
        """Whether the doses take time."""
        return self.duration is not None or self.rate is not None


@dataclass(frozen=True, eq=False)
class Jumps:
    """A function applied to the states at known times.

    Parameters
    ----------
    times : tensor_like ``(K,)`` or ``(..., K)``
        When it is applied.
    function : callable
        ``function(y, params)`` in `jax.numpy`, for one subject, returns the states after.

    Examples
    --------
    Half of the first state is harvested:

    >>> from pymc_jaxdist import Jumps
    >>> harvest = Jumps(times=[5.0, 10.0], function=lambda y, p: y.at[0].multiply(0.5))
    """

    times: Any
    function: Callable[[Any, Any], Any]


def event_leaves(
    where: str,
    events: Any,
    first_leaf: int,
    n_states: int,
    names: tuple[str, ...] | None,
    t0: TensorVariable,
) -> tuple[list[DoseEvent | JumpEvent], list[TensorVariable]]:
    """Return events as the kernel knows them, and the arrays they need.

    Parameters
    ----------
    where : str
        The distribution, for error messages.
    events : Doses, Jumps or sequence of them
    first_leaf : int
        Number of leaves before those of the events.
    n_states, names, t0
        Of the equation.
    """
    if events is None:
        return [], []
    specs: list[DoseEvent | JumpEvent] = []
    leaves: list[TensorVariable] = []
    for event in events if isinstance(events, Sequence) else [events]:
        position = first_leaf + len(leaves)
        if isinstance(event, Jumps):
            if not callable(event.function):
                raise ParameterError(
                    compose_message(
                        where,
                        "the function of Jumps must be callable.",
                        got=f"{type(event.function).__name__}: {event.function!r:.60}",
                        expected="function(y, params), which returns the states after the jump",
                    )
                )
            specs.append(JumpEvent(ByValue(event.function, where), position))
            leaves.append(_times(where, event.times, t0))
        elif isinstance(event, Doses):
            state = _state(where, event.state, n_states, names)
            specs.append(DoseEvent(state, position, event.is_infusion))
            leaves += _dose_leaves(where, event, t0)
        else:
            raise ParameterError(
                compose_message(
                    where,
                    "events must be Doses or Jumps, or a list of them.",
                    got=f"{type(event).__name__}: {event!r:.60}",
                )
            )
    return specs, leaves


def _times(where: str, times: Any, t0: TensorVariable) -> TensorVariable:
    times = pt.atleast_1d(as_floats(where, "times of events", times))
    value, start = known_value(times), known_value(t0)
    if value is not None:
        if np.isinf(value).any():
            raise DataError(
                compose_message(
                    where,
                    "times of events must be finite.",
                    got=f"{value[np.isinf(value)][0]}",
                    suggestion="NaN in the place of events that a subject does not have",
                )
            )
        begins = np.array(np.nan) if start is None else start[..., None]
        try:
            first, begins = np.broadcast_arrays(value, begins)
        except ValueError:
            raise ShapeError(
                compose_message(
                    where,
                    "times of events must be those of all subjects, or of each.",
                    got=f"times {value.shape}, t0 {begins.shape[:-1]}",
                    expected="(K,) or (..., K), with the dimensions of the subjects",
                )
            ) from None
        early = first < begins
        if early.any():
            index = tuple(np.argwhere(early)[0])
            raise DataError(
                compose_message(
                    where,
                    "an event comes before t0, where the solution begins.",
                    got=f"{first[index]:.6g}",
                    expected=f"times >= t0 = {begins[index]:.6g}",
                )
            )
    return times


def _dose_leaves(where: str, doses: Doses, t0: TensorVariable) -> list[TensorVariable]:
    times = _times(where, doses.times, t0)
    parts = {"times": times, "amounts": as_floats(where, "amounts of doses", doses.amounts)}
    if doses.duration is not None and doses.rate is not None:
        raise ParameterError(
            compose_message(
                where,
                "an infusion has a duration or a rate, not both.",
                got=f"duration={doses.duration!r:.30}, rate={doses.rate!r:.30}",
                suggestion="leave out one of them: rate = amount / duration",
            )
        )
    for name in "duration", "rate":
        if (value := getattr(doses, name)) is not None:
            parts[name] = as_floats(where, f"{name} of doses", value)
    leaves = [*_broadcast(where, parts).values()]
    absent = pt.isnan(leaves[0])
    if doses.rate is not None:
        leaves[2] = leaves[1] / leaves[2]
    # Doses that a subject does not have may be padded with anything.
    leaves[1] = pt.switch(absent, 0.0, leaves[1])
    if doses.is_infusion:
        _check_duration(where, "duration" if doses.rate is None else "rate", leaves)
        leaves[2] = pt.switch(absent, 1.0, leaves[2])
    _check_repetitions(where, doses)
    if not (doses.additional or doses.steady_state):
        return leaves
    shifts = doses.interval * np.arange(doses.additional + 1.0)
    times = leaves[0]
    repeated = [(times[..., None] + shifts).flatten(times.type.ndim)]
    repeated += [pt.repeat(x, doses.additional + 1, axis=-1) for x in leaves[1:]]
    if not doses.steady_state:
        return repeated
    shifts = doses.interval * np.arange(1.0, doses.steady_state + 1.0)
    before = [times[..., :1] - shifts]
    before += [pt.repeat(x[..., :1], doses.steady_state, axis=-1) for x in leaves[1:]]
    return [pt.concatenate(pair, axis=-1) for pair in zip(repeated, before, strict=True)]


def _broadcast(where: str, parts: dict[str, TensorVariable]) -> dict[str, TensorVariable]:
    """Return what is told of doses, each with a value for each dose of each subject."""
    shapes = {name: known_shape(x) for name, x in parts.items()}
    lengths = [tuple(1 if n is None else n for n in shape) for shape in shapes.values()]
    doses = shapes["times"][-1]
    try:
        subjects_fit = bool(np.broadcast_shapes(*lengths))
    except ValueError:
        subjects_fit = False
    doses_fit = all(shape[-1:] in ((), (1,), (None,), (doses,)) for shape in shapes.values())
    if not (subjects_fit and (doses_fit or doses is None)):
        raise ShapeError(
            compose_message(
                where,
                "amounts of doses, and their durations or rates, must fit their times.",
                got=", ".join(f"{name} {shape}" for name, shape in shapes.items()),
                expected="shapes that broadcast to (..., K), K doses of each subject",
            )
        )
    return dict(zip(parts, pt.broadcast_arrays(*parts.values()), strict=True))


def _check_duration(where: str, name: str, leaves: Sequence[TensorVariable]) -> None:
    times, _, duration = (known_value(x) for x in leaves)
    if duration is None:
        return
    given = ~np.isnan(duration if times is None else times)
    wrong = given & ~((duration > 0) & np.isfinite(duration))
    if wrong.any():
        raise ParameterError(
            compose_message(
                where,
                f"the {name} of an infusion must be positive.",
                got=f"a duration of {duration[wrong][0]:.6g}",
                suggestion="Doses without duration, for what is given at once",
            )
        )


def _check_repetitions(where: str, doses: Doses) -> None:
    for option in ("additional", "steady_state"):
        number = getattr(doses, option)
        if not isinstance(number, int | np.integer) or number < 0:
            raise ParameterError(
                compose_message(
                    where,
                    f"{option} must be a whole number of doses, the same for all.",
                    got=f"{number!r:.60}",
                    suggestion="times of each dose of each subject, NaN where it has fewer",
                )
            )
        if number and doses.interval is None:
            raise ParameterError(
                compose_message(
                    where,
                    f"{option} doses need an interval.",
                    got=f"{option}={number}, interval={doses.interval}",
                )
            )
    if doses.interval is None:
        return
    interval = known_value(pt.as_tensor_variable(doses.interval))
    if interval is not None and not (np.ndim(interval) == 0 and 0 < interval < np.inf):
        raise ParameterError(
            compose_message(
                where,
                "the interval of repeated doses must be one positive number.",
                got=f"{doses.interval!r:.60}",
                suggestion="times of each dose of each subject, if their intervals differ",
            )
        )


def run_in(where: str, events: Any) -> float:
    """Return how long before ``t0`` a solution must begin to reach a steady state of its doses.

    Parameters
    ----------
    where : str
        The distribution, for error messages.
    events : Doses, Jumps or sequence of them
        Checked by `event_leaves`.
    """
    longest = 0.0
    for event in events if isinstance(events, Sequence) else [events]:
        if not isinstance(event, Doses) or not event.steady_state:
            continue
        interval = known_value(pt.as_tensor_variable(event.interval))
        if interval is None:
            raise ParameterError(
                compose_message(
                    where,
                    "the interval of doses at steady state must be known.",
                    got=str(event.interval),
                    expected="a number",
                )
            )
        longest = max(longest, event.steady_state * float(interval))
    return longest


def _state(where: str, state: int | str, n_states: int, names: tuple[str, ...] | None) -> int:
    if names is not None and state in names:
        return names.index(str(state))
    if isinstance(state, int | np.integer) and -n_states <= state < n_states:
        return int(state) % n_states
    raise ParameterError(
        compose_message(
            where,
            "doses are given to a state that does not exist.",
            got=repr(state),
            expected=", ".join(map(repr, names or range(n_states))),
        )
    )
