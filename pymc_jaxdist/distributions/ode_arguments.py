"""From the arguments a user writes to a checked differential equation."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytensor.tensor as pt
from pymc.pytensorf import constant_fold
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions import ode_checks as checks
from pymc_jaxdist.distributions.arguments import (
    as_floats,
    as_numbers,
    known_shape,
    known_value,
    masked_as_missing,
)
from pymc_jaxdist.distributions.ode_events import event_leaves, run_in
from pymc_jaxdist.distributions.ode_function_checks import check_fields
from pymc_jaxdist.distributions.ode_likelihood import CutLikelihood
from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message
from pymc_jaxdist.kernels.ode.equation import Equation, NamedParts
from pymc_jaxdist.kernels.ode.interpolation import Interpolated
from pymc_jaxdist.kernels.ode.layout import Argument, Structure
from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE
from pymc_jaxdist.ops.by_value import ByValue
from pymc_jaxdist.ops.compat import barriers_end_before_fusion

__all__ = ["PreparedEquation", "by_value", "cut_likelihood", "prepare_equation"]

DEFAULT_ATOL = 1e-12


class PreparedEquation(NamedTuple):
    """An equation, its arguments in order, and what is known of their shapes.

    Attributes
    ----------
    equation : Equation
    arguments : list of TensorVariable
        ``y0``, ``t0``, ``times``, the leaves of ``params``.
    batch_shape : tuple of int or None
        Dimensions of subjects.
    seen_shape : tuple of int
        What is seen of the states at one time.
    seen_names : tuple of str or None
        Names of what is seen, if it reaches the likelihood as a dictionary.
    """

    equation: Equation
    arguments: list[TensorVariable]
    batch_shape: tuple[int | None, ...]
    seen_shape: tuple[int, ...]
    seen_names: tuple[str, ...] | None


def prepare_equation(
    where: str,
    vector_field: Callable[..., Any],
    *,
    params: Any,
    y0: Any,
    times: Any,
    t0: Any,
    observe: Any,
    rtol: float,
    atol: Any,
    max_steps: int,
    solver: Any = "auto",
    sensitivity: str = "auto",
    events: Any = None,
    batch_shape: tuple[int | None, ...] | None = None,
) -> PreparedEquation:
    """Check the arguments of an equation and put them in order.

    Parameters
    ----------
    where : str
        The distribution or function, for error messages.
    vector_field, params, y0, times, t0, observe, rtol, atol, max_steps, solver, sensitivity, events
        As in `ODEObserved`.
    batch_shape : tuple of int or None, optional
        Dimensions of subjects, if something other than these arguments tells them.
    """
    checks.check_callable(where, vector_field)
    atol = DEFAULT_ATOL if atol is None else atol
    names, y0 = _initial_state(where, y0)
    times = as_floats(where, "times", masked_as_missing(times))
    t0 = as_floats(where, "t0", t0)
    if times.type.ndim == 0:
        times = times[None]
    leaves, structure = jax.tree.flatten(params)
    leaves = [as_numbers(where, "params", leaf) for leaf in leaves]

    n_states = shape_of(y0)[-1]
    if n_states is None:
        raise ShapeError(
            compose_message(
                where,
                "the number of states is not known.",
                got="y0 of unknown length",
                suggestion="pt.stack([...]) or pt.specify_shape(y0, (n,))",
            )
        )
    checks.check_initial_state(where, known_value(y0))
    checks.check_times(where, times, t0)
    n_params = len(leaves)
    inputs = _inputs(where, params)
    kinks = tuple(position for position, part in inputs.items() if part.kind != "cubic")
    specs, extra = event_leaves(where, events, n_params, n_states, names, t0)
    leaves += extra

    told = {"y0": shape_of(y0)[:-1], "times": shape_of(times)[:-1], "t0": shape_of(t0)}
    if batch_shape is not None:
        told["observed"] = batch_shape
    batch_shape = checks.common_batch_shape(where, told)
    n = len(batch_shape)
    arguments = [
        Argument(n > 0 and y0.type.ndim > 1, _moves(y0)),
        Argument(n > 0 and t0.type.ndim > 0, _moves(t0)),
        Argument(n > 0 and times.type.ndim > 1, _moves(times)),
    ]
    y0, t0, times = (
        _pad(x, n + core) if argument.batched else x
        for x, argument, core in zip((y0, t0, times), arguments, (1, 0, 1), strict=True)
    )
    for position, leaf in enumerate(leaves):
        floating = leaf.type.dtype.startswith("float")
        if position >= n_params or position in inputs:
            batched = leaf.type.ndim > 1  # times of events and inputs: (..., K)
        elif position - 1 in inputs:
            batched = n > 0 and _has_values_of_each(leaf, leaves[position - 1], batch_shape)
        else:
            batched = n > 0 and _is_per_subject(shape_of(leaf), batch_shape)
        arguments.append(Argument(batched, floating and _moves(leaf)))
    equation = Equation(
        vector_field=_field_by_value(where, vector_field),
        state_names=names,
        structure=Structure(structure),
        arguments=tuple(arguments),
        batch_ndim=n,
        rtol=checks.positive(where, "rtol", rtol),
        atol=checks.tolerances(where, atol, n_states),
        max_steps=checks.whole(where, "max_steps", max_steps),
        solver=checks.known_solver(where, solver, bool(specs or kinks), vector_field),
        sensitivity=checks.known_sensitivity(where, sensitivity),
        events=tuple(specs),
        kinks=kinks,
        run_in=run_in(where, events),
        observe=_observe_by_value(where, observe, names, n_states),
        times_in_order=_in_order(times),
        stages_in_a_loop=barriers_end_before_fusion(),
    )
    if sensitivity == "reverse" and equation.times_move:
        checks.refuse_reverse(where)
    cores = [
        (shape_of(x)[n if argument.batched else 0 :], x.type.dtype)
        for x, argument in zip(leaves[:n_params], arguments[3:], strict=False)
    ]
    seen_shape, observed_names = check_fields(where, equation, n_states, cores)
    if observed_names is not None:
        observed = NamedParts(by_value(where, observe), observed_names)
        equation = replace(equation, observe=observed)
    seen_names = names if observe is None else getattr(equation.observe, "names", None)
    return PreparedEquation(equation, [y0, t0, times, *leaves], batch_shape, seen_shape, seen_names)


def cut_likelihood(
    where: str, likelihood: Callable[..., Any], prepared: PreparedEquation
) -> CutLikelihood:
    """Cut a likelihood off at the solution of an equation, and at variables of the model."""
    lengths = [1 if n == 1 else None for n in prepared.batch_shape]
    seen = TensorType("float64", shape=(*lengths, None, *prepared.seen_shape))("solution")
    cut = CutLikelihood.of(where, likelihood, seen, prepared.seen_names)
    checks.check_channels(where, cut.likelihood, len(prepared.batch_shape) + 1)
    return cut


def _in_order(times: TensorVariable) -> bool:
    """Tell whether times are constants that increase, without any that are missing."""
    value = None if isinstance(times, SharedVariable) else known_value(times)
    return value is not None and bool((np.diff(value, axis=-1) >= 0).all() & ~np.isnan(value).any())


def by_value(where: str, function: Any) -> Any:
    """Return a function that equals any other with the same code; anything else as it is.

    A cell that runs again makes its functions anew, and they must not be compiled anew.
    """
    if not callable(function) or isinstance(function, ByValue):
        return function
    return ByValue(function, where)


def _observe_by_value(
    where: str, observe: Any, names: tuple[str, ...] | None, n_states: int
) -> Any:
    if isinstance(observe, NamedParts):
        return observe
    return by_value(where, checks.observed_states(where, observe, names, n_states))


def _field_by_value(where: str, vector_field: Any) -> Any:
    if isinstance(vector_field, LinearODE):  # solved by another method, and so known by its type
        return LinearODE(
            by_value(where, vector_field.matrix), by_value(where, vector_field.constant)
        )
    return by_value(where, vector_field)


def _inputs(where: str, params: Any) -> dict[int, Interpolated]:
    """Return interpolated inputs by the positions of their times among the leaves, checked.

    The leaf after that of its times holds the values of an input.
    """
    inputs, position = {}, 0
    for part in jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, Interpolated)):
        if not isinstance(part, Interpolated):
            position += 1
            continue
        inputs[position] = part
        times, values = (as_numbers(where, "params", x) for x in (part.times, part.values))
        checks.check_input(where, known_value(times), known_value(values), shape_of(values))
        position += 2
    return inputs


def _has_values_of_each(
    values: TensorVariable, times: TensorVariable, batch_shape: tuple[int | None, ...]
) -> bool:
    """Tell whether an input has values ``(..., M)`` or ``(..., M, d)`` for each subject."""
    shape, knots = shape_of(values), shape_of(times)[-1]
    if not _is_per_subject(shape, batch_shape) or len(shape) == len(batch_shape):
        return False
    # As many subjects as knots: one input of several components, unless times are their own.
    return times.type.ndim > 1 or shape[0] != knots


def shape_of(variable: TensorVariable) -> tuple[int | None, ...]:
    """Return a shape, with None for lengths that are not known."""
    shape = known_shape(variable)
    if None in shape:
        # Lengths of dims are shared variables; what they are now is what is checked.
        lengths = list(variable.shape)
        now = {
            root: pt.constant(root.get_value(borrow=True))
            for root in graph_inputs(lengths)
            if isinstance(root, SharedVariable) and not isinstance(root.type, RandomType)
        }
        lengths = clone_replace(lengths, replace=now, rebuild_strict=False)
        folded = constant_fold(tuple(lengths), raise_not_constant=False)
        shape = tuple(None if isinstance(n, Variable) else int(n) for n in folded)
    return shape


def _initial_state(where: str, y0: Any) -> tuple[tuple[str, ...] | None, TensorVariable]:
    """Return the names of the states, if they have any, and the states ``(..., n)``."""
    if isinstance(y0, dict):
        parts = [as_floats(where, f"y0['{name}']", value) for name, value in y0.items()]
        if not parts:
            raise ParameterError(compose_message(where, "y0 is empty.", got="{}"))
        ndim = max(p.type.ndim for p in parts)
        lead = sum((pt.zeros_like(p) for p in parts if p.type.ndim == ndim), start=pt.zeros(()))
        return tuple(y0), pt.stack([p + lead for p in parts], axis=-1)
    if isinstance(y0, list | tuple):
        y0 = _of_list(where, y0)
    y0 = as_floats(where, "y0", y0)
    return None, y0[None] if y0.type.ndim == 0 else y0


def _of_list(where: str, y0: Sequence[Any]) -> TensorVariable:
    """Return a list of states, each a number or one per subject, or of rows of subjects."""
    nested = [isinstance(x, list | tuple) for x in y0]
    if y0 and all(nested):
        rows = [_of_list(where, row) for row in y0]
        if len({row.type.ndim for row in rows}) == 1:
            return pt.stack(rows, axis=0)
    elif y0 and not any(nested):
        parts = [as_floats(where, "y0", x) for x in y0]
        try:
            return pt.stack(pt.broadcast_arrays(*parts), axis=-1)
        except (TypeError, ValueError):
            pass
    raise ShapeError(
        compose_message(
            where,
            "y0 is a list whose parts do not fit together.",
            got=f"{list(y0)!r:.60}",
            expected="one number (or array of subjects) for each state, or one list for each "
            "subject",
        )
    )


def _pad(variable: TensorVariable, ndim: int) -> TensorVariable:
    missing = ndim - variable.type.ndim
    return pt.shape_padleft(variable, missing) if missing > 0 else variable


def _is_per_subject(shape: tuple[int | None, ...], batch_shape: tuple[int | None, ...]) -> bool:
    """Tell whether the leading dimensions of a parameter are those of the subjects."""
    n = len(batch_shape)
    if len(shape) < n:
        return False
    return all(
        length == 1 or length == subjects or length is None
        for length, subjects in zip(shape[:n], batch_shape, strict=True)
    )


def _moves(variable: TensorVariable) -> bool:
    """Tell whether a variable depends on anything but constants and data."""
    return any(
        isinstance(root.type, RandomType) or not isinstance(root, Constant | SharedVariable)
        for root in graph_inputs([variable])
    )
