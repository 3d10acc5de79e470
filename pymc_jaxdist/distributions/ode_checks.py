"""Everything about the arguments of a differential equation that can be wrong before sampling."""

from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import known_value
from pymc_jaxdist.distributions.ode_likelihood import Likelihood
from pymc_jaxdist.errors import DataError, ParameterError, ShapeError, compose_message
from pymc_jaxdist.kernels.ode.diffrax_solve import is_adaptive, is_diffrax_solver
from pymc_jaxdist.kernels.ode.equation import METHODS
from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4

__all__ = [
    "check_callable",
    "check_channels",
    "check_initial_state",
    "check_input",
    "check_times",
    "common_batch_shape",
    "known_sensitivity",
    "known_solver",
    "observed_states",
    "positive",
    "refuse_reverse",
    "tolerances",
    "whole",
]


def check_callable(where: str, vector_field: Any) -> None:
    """Check that the vector field is a function."""
    if not callable(vector_field):
        raise ParameterError(
            compose_message(
                where,
                "vector_field must be a function f(t, y, params).",
                got=f"{type(vector_field).__name__}: {vector_field!r:.60}",
            )
        )


def positive(where: str, argument: str, value: Any) -> float:
    """Return a tolerance as a positive float."""
    if _is_number(value, int | float | np.number) and 0 < value < np.inf:
        return float(value)
    raise ParameterError(
        compose_message(
            where, f"{argument} must be a positive number.", got=f"{value!r:.60}",
            expected="for example 1e-6",
        )
    )  # fmt: skip


def whole(where: str, argument: str, value: Any) -> int:
    """Return a positive whole number."""
    if _is_number(value, int | np.integer) and value > 0:
        return int(value)
    raise ParameterError(
        compose_message(where, f"{argument} must be a positive whole number.", got=f"{value!r:.60}")
    )


def _is_number(value: Any, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def known_solver(where: str, solver: Any, has_knots: bool, vector_field: Any) -> Any:
    """Return a solver that exists and can do what is asked of it."""
    if isinstance(vector_field, LinearODE) and has_knots:
        raise ParameterError(
            compose_message(
                where,
                "LinearODE has no events and no interpolated inputs.",
                suggestion="the same system as an ordinary vector field",
            )
        )
    if is_diffrax_solver(solver):
        if not is_adaptive(solver):
            raise ParameterError(
                compose_message(
                    where,
                    "a diffrax solver must be an instance, and estimate its error.",
                    got=f"{solver!r:.60}",
                    expected="for example diffrax.Tsit5(), diffrax.Kvaerno5()",
                    suggestion="RK4(step_size=...), for steps of a fixed size",
                )
            )
        if has_knots:
            raise ParameterError(
                compose_message(
                    where,
                    "diffrax solvers have no events and no interpolated inputs here.",
                    got=repr(solver),
                    suggestion="solver='auto'",
                )
            )
        return solver
    if isinstance(solver, RK4) or (isinstance(solver, str) and solver in METHODS):
        return solver
    raise ParameterError(
        compose_message(
            where,
            "solver is not known.",
            got=f"{solver!r:.60}",
            expected=", ".join(map(repr, METHODS)) + ", RK4(step_size=...) or a diffrax solver",
        )
    )


def known_sensitivity(where: str, sensitivity: str) -> str:
    """Return a way to compute derivatives that exists."""
    if sensitivity in ("auto", "forward", "reverse"):
        return sensitivity
    raise ParameterError(
        compose_message(
            where,
            "sensitivity is not known.",
            got=repr(sensitivity),
            expected="'auto', 'forward' or 'reverse'",
        )
    )


def tolerances(where: str, atol: Any, n_states: int) -> float | tuple[float, ...]:
    """Return absolute tolerances: one, or one for each state."""
    if np.ndim(atol) == 0:
        return positive(where, "atol", atol)
    if np.shape(atol) != (n_states,):
        raise ShapeError(
            compose_message(
                where, "atol must be one number, or one for each state.",
                got=f"shape {np.shape(atol)}", expected=f"({n_states},)",
            )
        )  # fmt: skip
    return tuple(positive(where, "atol", float(x)) for x in np.asarray(atol))


def common_batch_shape(
    where: str, told: dict[str, tuple[int | None, ...]]
) -> tuple[int | None, ...]:
    """Return the dimensions of subjects to which several arguments broadcast."""
    n = max(len(shape) for shape in told.values())
    lengths: list[int | None] = [1] * n
    for shape in told.values():
        for axis in range(1, len(shape) + 1):
            length = shape[-axis]
            before = lengths[-axis]
            if before in (1, None) and length != 1:
                lengths[-axis] = length if length is not None else before
                if length is None and before == 1:
                    lengths[-axis] = None
            elif length not in (1, None, before):
                raise ShapeError(
                    compose_message(
                        where,
                        "the leading dimensions (the subjects) of the arguments must broadcast.",
                        got=", ".join(f"{name}: {s}" for name, s in told.items()),
                        expected="y0 (..., n), times (..., T), t0 (...)",
                    )
                )
    return tuple(lengths)


def check_initial_state(where: str, y0: np.ndarray | None) -> None:
    """Check an initial state that is known while the model is built."""
    if y0 is not None and not np.isfinite(y0).all():
        raise ParameterError(
            compose_message(
                where,
                "y0 must be finite.",
                got=f"{int((~np.isfinite(y0)).sum())} of {y0.size} numbers are not",
                suggestion="a variable of the model, for an initial state that is not known",
            )
        )


def check_times(where: str, times: TensorVariable, t0: TensorVariable) -> None:
    """Check observation times that are known while the model is built."""
    value, start = known_value(times), known_value(t0)
    if start is not None and not np.isfinite(start).all():
        raise ParameterError(compose_message(where, "t0 must be finite.", got=f"{start!r:.60}"))
    if value is None:
        return
    if value.shape[-1] == 0:
        raise ShapeError(
            compose_message(where, "times must hold at least one time.", got=f"{value.shape}")
        )
    if np.isinf(value).any():
        raise DataError(
            compose_message(
                where, "times must be finite.", got=f"{int(np.isinf(value).sum())} infinite",
                suggestion="NaN in the place of times that a subject does not have",
            )
        )  # fmt: skip
    if np.isnan(value).all(axis=-1).any():
        raise DataError(
            compose_message(
                where,
                "times of a subject are all NaN.",
                got=f"times of shape {value.shape}",
                suggestion="leave out subjects that were never observed",
            )
        )
    if start is not None:
        early = value < start[..., None]
        if early.any():
            index = tuple(int(i) for i in np.argwhere(early)[0])
            raise DataError(
                compose_message(
                    where,
                    "an observation comes before t0, where the solution begins.",
                    got=f"{int(early.sum())} of {value.size} times, the first "
                    f"{value[index]:.6g} at index {index}",
                    expected=f"times >= t0 = {float(np.max(start)):.6g}",
                    suggestion=f"t0={float(np.nanmin(value)):.6g}",
                )
            )


def observed_states(where: str, observe: Any, names: tuple[str, ...] | None, n_states: int) -> Any:
    """Return what is observed of the states: an index, a tuple of them, a function or None."""
    if observe is None or callable(observe):
        return observe
    single = isinstance(observe, str | int | np.integer)
    if not single and (np.ndim(observe) != 1 or len(observe) == 0):
        raise ParameterError(
            compose_message(
                where,
                "observe must be a state, a list of states or a function.",
                got=f"{observe!r:.60}",
                expected="an index, a name, a list of them, or g(t, y, params)",
            )
        )
    indices = []
    for one in [observe] if single else list(observe):
        known = names if names is not None else tuple(range(n_states))
        if isinstance(one, str) and names is not None and one in names:
            indices.append(names.index(one))
        elif isinstance(one, int | np.integer) and -n_states <= one < n_states:
            indices.append(int(one) % n_states)
        else:
            raise ParameterError(
                compose_message(
                    where,
                    "observe names a state that does not exist.",
                    got=repr(one),
                    expected="one of " + ", ".join(repr(k) for k in known),
                    suggestion=None
                    if names is not None or not isinstance(one, str)
                    else "y0 as a dictionary gives the states names",
                )
            )
    return indices[0] if single else tuple(indices)


def check_channels(where: str, likelihood: Likelihood, n_dims: int) -> None:
    """Check that each of several distributions observes one number at a time.

    Parameters
    ----------
    n_dims : int
        Dimensions of subjects and times.
    """
    for emission in likelihood.emissions if likelihood.several else ():
        if emission.event_ndim or len(emission.batch_shape) > n_dims:
            shape = (*emission.batch_shape, *emission.event_shape)
            text = ", ".join("?" if n is None else str(n) for n in shape)
            raise ShapeError(
                compose_message(
                    where,
                    "each of several distributions must observe one number at a time.",
                    got=f"one of shape ({text})",
                    expected="(T,)" if n_dims == 1 else "(..., T), subjects and times",
                    suggestion="pm.Normal.dist(y[..., 0], sigma), one for each state",
                )
            )


def refuse_reverse(where: str) -> None:
    """Say that derivatives by times are not pulled back."""
    raise ParameterError(
        compose_message(
            where,
            "sensitivity='reverse' has no derivatives by times.",
            got="times, t0, or times of events that depend on variables of the model",
            expected="'auto' or 'forward'",
        )
    )


def check_input(
    where: str,
    times: np.ndarray | None,
    values: np.ndarray | None,
    shape: tuple[int | None, ...],
) -> None:
    """Check the times and values of an interpolated input, as far as they are known."""
    if times is not None and not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ParameterError(
            compose_message(
                where,
                "times of an interpolated input must increase, and be finite.",
                got=np.array2string(np.asarray(times), threshold=6),
                suggestion="sort times and values by time, and leave out repetitions",
            )
        )
    if times is not None and None not in shape and times.shape[-1] not in shape:
        raise ShapeError(
            compose_message(
                where,
                "an interpolated input needs a value for each of its times.",
                got=f"{times.shape[-1]} times and values of shape {shape}",
                expected="(M,) or (M, d), (..., M) or (..., M, d) per subject",
            )
        )
    if values is not None and not np.isfinite(values).all():
        raise DataError(
            compose_message(
                where,
                "values of an interpolated input must be finite.",
                got=f"{int((~np.isfinite(values)).sum())} NaN or infinite",
                suggestion="leave out times without a value: the input is interpolated there",
            )
        )
