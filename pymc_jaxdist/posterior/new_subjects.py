"""A differential equation with other subjects in it, evaluated for every posterior draw."""

from typing import Any, NamedTuple

import jax
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.pytensorf import compile as compile_graph
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors

from pymc_jaxdist.distributions.ode_arguments import cut_likelihood, prepare_equation
from pymc_jaxdist.distributions.ode_events import Doses, Jumps
from pymc_jaxdist.distributions.ode_likelihood import CutLikelihood, Likelihood
from pymc_jaxdist.distributions.ode_model import ODEModel
from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message
from pymc_jaxdist.kernels.ode.equation import Equation
from pymc_jaxdist.kernels.ode.events import DoseEvent

__all__ = ["NewSubjects", "new_subjects"]


class NewSubjects(NamedTuple):
    """An equation and a likelihood, and what they depend on for every draw.

    Attributes
    ----------
    equation : Equation
    arguments : list of array ``(S, ...)``
        Those of the equation.
    likelihood : Likelihood
    parameters : list of array ``(S, ...)``
        Those of the likelihood.
    """

    equation: Equation
    arguments: list[np.ndarray]
    likelihood: Likelihood
    parameters: list[np.ndarray]


def new_subjects(
    where: str,
    ode_model: ODEModel,
    node: Apply,
    model: pm.Model,
    draws: dict[str, np.ndarray],
    changes: dict[str, Any],
    random_seed: int | None,
) -> NewSubjects:
    """Put other parameters, initial states, doses or likelihood into a differential equation.

    Parameters
    ----------
    where : str
        For error messages.
    ode_model : ODEModel
        The model of the variable.
    node : Apply
        Its log-density.
    model : pm.Model
        The model.
    draws : dict of name to (S, ...) array
        Draws of the free variables.
    changes : dict of str to object
        Some of ``params``, ``y0``, ``t0``, ``times``, ``events``, ``likelihood`` as in
        `ODEObserved`. Unregistered distributions in them are drawn for every posterior draw.
    random_seed : int, optional
        For these.
    """
    old: Equation = ode_model.equation
    y0, t0, times, *leaves = node.inputs[1 : 1 + old.n_arguments]
    n_params = old.structure.num_leaves
    changes = dict(changes)
    likelihood = changes.pop("likelihood", None)
    if "params" in changes:
        _check_structure(where, old, changes["params"])
    if old.state_names is not None and not isinstance(changes.get("y0", {}), dict):
        raise ParameterError(
            compose_message(
                where,
                "y0 must name the states, as in the model.",
                got=type(changes["y0"]).__name__,
                expected="a dictionary of " + ", ".join(old.state_names),
            )
        )
    if old.state_names is not None:
        y0 = {name: y0[..., i] for i, name in enumerate(old.state_names)}
    if old.state_names is not None and "y0" in changes:
        if set(changes["y0"]) != set(old.state_names):
            raise ParameterError(
                compose_message(
                    where,
                    "y0 must name every state of the model, and no other.",
                    got=", ".join(map(str, changes["y0"])) or "no names",
                    expected=", ".join(old.state_names),
                )
            )
        # What is observed, and where doses go, is known by the position of the state.
        changes["y0"] = {name: changes["y0"][name] for name in old.state_names}
    if "events" not in changes:
        t0 = t0 - old.run_in  # the doses of the run-in are among those written out
    arguments = {
        "params": old.structure.unflatten(leaves[:n_params]),
        "y0": y0,
        "t0": t0,
        "times": times,
        "events": _events(old, leaves),
        **changes,
    }
    try:
        prepared = prepare_equation(
            where,
            old.vector_field,
            observe=old.observe,
            rtol=old.rtol,
            atol=old.atol,
            max_steps=old.max_steps,
            solver=old.solver,
            sensitivity=old.sensitivity,
            **arguments,
        )
    except (ParameterError, ShapeError) as error:
        _refuse_params_alone(
            where, old, changes, str(error).splitlines()[0].removeprefix(f"{where}: ")
        )
        raise
    if _cores(prepared.equation, prepared.arguments) != _cores(old, node.inputs[1:]):
        _refuse_params_alone(where, old, changes, "they fit no subject of the model")
    if likelihood is None:
        cut = CutLikelihood(ode_model.likelihood, list(node.inputs[1 + old.n_arguments :]))
    else:
        cut = cut_likelihood(where, likelihood, prepared)
    variables = [*prepared.arguments, *cut.parameters]
    values = _evaluated(where, variables, model, draws, random_seed)
    n = len(prepared.arguments)
    return NewSubjects(prepared.equation, values[:n], cut.likelihood, values[n:])


def _check_structure(where: str, equation: Equation, params: Any) -> None:
    found = jax.tree.structure(params)
    if found != equation.structure.treedef:
        raise ParameterError(
            compose_message(
                where,
                "params must have the structure of those of the model.",
                got=str(found),
                expected=str(equation.structure.treedef),
            )
        )


def _cores(equation: Equation, arguments: list[Any]) -> list[int]:
    """Return the number of dimensions that each parameter has for one subject."""
    n = equation.structure.num_leaves
    pairs = zip(arguments[3 : 3 + n], equation.arguments[3 : 3 + n], strict=True)
    return [x.type.ndim - equation.batch_ndim * argument.batched for x, argument in pairs]


def _refuse_params_alone(where: str, old: Equation, changes: dict[str, Any], why: str) -> None:
    """Say so if new params come with the subjects of the model, which other arguments tell."""
    names = ("y0", "t0", "times")
    telling = [
        name
        for name, argument in zip(names, old.arguments, strict=False)
        if argument.batched and name not in changes
    ]
    if "params" not in changes or not telling:
        return
    raise ShapeError(
        compose_message(
            where,
            "params do not fit the subjects, which are still those of the model.",
            got=why,
            expected=f"values for each of the subjects of {', '.join(telling)}",
            suggestion=", ".join(f"{name}=..." for name in telling) + ", for new subjects",
        )
    )


def _events(equation: Equation, leaves: list[Variable]) -> list[Doses | Jumps] | None:
    """Return the events of an equation as a user would write them, repetitions written out."""
    found: list[Doses | Jumps] = []
    for event in equation.events:
        times, *rest = leaves[event.first_leaf : event.first_leaf + 3]
        if not isinstance(event, DoseEvent):
            found.append(Jumps(times, event.function))
        elif event.infusion:
            found.append(Doses(times, rest[0], event.state, duration=rest[1]))
        else:
            found.append(Doses(times, rest[0], event.state))
    return found or None


def _evaluated(
    where: str,
    variables: list[Any],
    model: pm.Model,
    draws: dict[str, np.ndarray],
    random_seed: int | None,
) -> list[np.ndarray]:
    """Evaluate variables together for every draw; what is random in them is drawn anew."""
    given = [rv for rv in model.free_RVs if rv.name in draws]
    needed = set(ancestors(variables, blockers=given))
    absent = [rv.name for rv in model.basic_RVs if rv in needed and rv not in given]
    if absent:
        raise ParameterError(
            compose_message(
                where,
                "draws are missing of variables on which the result depends.",
                got=f"no draws of {', '.join(map(str, absent))}",
                expected="draws of every free variable of the model",
            )
        )
    evaluate = compile_graph(
        given,
        [pt.as_tensor_variable(x) for x in variables],
        random_seed=random_seed,
        on_unused_input="ignore",
        mode="FAST_COMPILE",
    )
    columns = [np.asarray(draws[rv.name]).astype(rv.dtype) for rv in given]
    rows = [evaluate(*row) for row in zip(*columns, strict=True)]
    return [np.stack(values) for values in zip(*rows, strict=True)]
