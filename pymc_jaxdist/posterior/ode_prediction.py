"""Solutions and observations at new times for every posterior draw."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pymc.pytensorf import compile as compile_graph

from pymc_jaxdist.distributions.model_variable import model_of
from pymc_jaxdist.distributions.ode_likelihood import Likelihood
from pymc_jaxdist.distributions.ode_model import ODEModel
from pymc_jaxdist.errors import ShapeError, compose_message
from pymc_jaxdist.kernels.ode.equation import Equation, NamedParts
from pymc_jaxdist.kernels.ode.log_likelihood import ODELogLikelihood
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.posterior.new_subjects import new_subjects
from pymc_jaxdist.posterior.parameter_draws import find_log_density, flat_draws, parameter_draws

__all__ = ["predict_ode"]


def predict_ode(
    idata: Any,
    var_name: str,
    *,
    times: Any = None,
    changes: dict[str, Any] | None = None,
    observations: bool = True,
    model: pm.Model | None = None,
    random_seed: int | None = None,
) -> xr.Dataset:
    """Solve a differential equation at any times, for every posterior draw: see `predict`.

    What is in ``changes`` replaces arguments of `ODEObserved`.
    """
    where = f"predict of '{var_name}'"
    model = pm.modelcontext(model)
    node = find_log_density(where, model, var_name, ODELogLikelihood, "ODEObserved")
    posterior = idata["posterior"]
    ode_model: ODEModel = model_of(model[var_name])
    draws = flat_draws(model, posterior)
    changes = dict(changes or {})
    if changes:
        if times is not None:
            changes["times"] = times
        equation, arguments, likelihood, rest = new_subjects(
            where, ode_model, node, model, draws, changes, random_seed
        )
    else:
        equation, likelihood = node.op.kernel.equation, ode_model.likelihood
        inputs = parameter_draws(where, node.inputs[1:], model, draws)
        arguments, rest = inputs[: equation.n_arguments], inputs[equation.n_arguments :]
        if times is not None:
            times = np.atleast_1d(np.asarray(times, dtype="float64"))
            arguments[2] = np.broadcast_to(times, (len(arguments[0]), *times.shape))
            equation = equation.with_times(times.ndim > 1)
    batch = equation.batch_ndim
    asked = arguments[2]
    equation, times, t0 = _times_of_each(equation, asked, arguments[1])
    times = np.where(times < t0, np.nan, times)
    with double_precision():
        seen = np.array(_solver(equation)(*arguments[:2], times, *arguments[3:]))
    seen[~np.isfinite(seen)] = np.nan
    # Before the start there is no solution, nor at times that a subject does not have.
    nowhere = np.isnan(times)
    if not equation.arguments[2].batched:
        nowhere = nowhere.reshape(len(times), *[1] * batch, times.shape[-1])
    seen[np.broadcast_to(nowhere, seen.shape[: batch + 2])] = np.nan
    result = {f"{var_name}_solution": seen}
    if observations:
        trailing = model[var_name].type.ndim - ode_model.equation.batch_ndim - 1
        result[var_name] = _observations(
            where, likelihood, equation.batch_ndim, trailing, seen, rest, random_seed
        )
    dims = _Dims(model, var_name, equation, others=not {"params", "y0"}.isdisjoint(changes))
    lead = {dim: posterior[dim].values for dim in ("chain", "draw")}
    shape = tuple(len(c) for c in lead.values())
    arrays = {
        name: (
            ("chain", "draw", *dims.of(name, values.ndim - 1, likelihood)),
            values.reshape(*shape, *values.shape[1:]),
        )
        for name, values in result.items()
    }
    lengths = {d: n for names, x in arrays.values() for d, n in zip(names, x.shape, strict=True)}
    coords: dict[str, Any] = {**lead, **dims.coords(lengths)}
    if asked.ndim == 2:
        coords["time"] = asked[0]
    else:
        coords["times"] = (
            (*dims.subjects, "time"),
            np.broadcast_to(asked[0], seen.shape[1 : 2 + batch]),
        )
    return xr.Dataset(arrays, coords)


class _Dims:
    """Names of the dimensions of a prediction: those of the model where they mean the same.

    Attributes
    ----------
    subjects : list of str
    """

    def __init__(self, model: pm.Model, var_name: str, equation: Equation, others: bool) -> None:
        self._model, self._others = model, others
        self._states = _names_of_seen(equation)
        self._of_states = not callable(equation.observe) or self._states is not None
        named = model.named_vars_to_dims.get(var_name) or ()
        ndim = model[var_name].type.ndim
        names = [
            name or f"{var_name}_dim_{i}"
            for i, name in enumerate((*named, *[None] * (ndim - len(named))))
        ]
        n, known = equation.batch_ndim, model_of(model[var_name]).equation.batch_ndim
        self.subjects = names[:n] if n == known else [f"{var_name}_dim_{i}" for i in range(n)]
        self._own = {var_name: names[known + 1 :]}

    def of(self, name: str, ndim: int, likelihood: Likelihood) -> list[str]:
        """Return the dimensions of the solution, or of observations, after those of the draws."""
        n = len(self.subjects) + 1
        unnamed = [f"{name}_dim_{i}" for i in range(n, ndim)]
        own = self._own.get(name, [])
        if len(own) != len(unnamed):
            own = unnamed
        of_states = self._of_states and not (name in self._own and likelihood.several)
        if own == unnamed and len(own) == 1 and of_states:
            own = ["state"]
        return [*self.subjects, "time", *own]

    def coords(self, lengths: dict[str, int]) -> dict[str, Any]:
        """Return coordinates of these dimensions."""
        known = {name: values for name, values in self._model.coords.items() if name in lengths}
        if self._others:
            known = {name: values for name, values in known.items() if name not in self.subjects}
        if self._states is not None:
            known["state"] = self._states
        return {
            name: list(values)
            for name, values in known.items()
            if values is not None and len(values) == lengths.get(name)
        }


def _names_of_seen(equation: Equation) -> tuple[str, ...] | None:
    """Return the names of what is seen of the states, if it has any."""
    if isinstance(equation.observe, NamedParts):
        return equation.observe.names
    if callable(equation.observe) or equation.state_names is None:
        return None
    if equation.observe is None:
        return equation.state_names
    return tuple(equation.state_names[i] for i in np.atleast_1d(equation.observe))


def _times_of_each(
    equation: Equation, times: np.ndarray, t0: np.ndarray
) -> tuple[Equation, np.ndarray, np.ndarray]:
    """Return times and ``t0`` of each draw that can be compared, and the equation for them."""
    _, own_t0, own_times, *_ = equation.arguments
    batch = equation.batch_ndim
    if not (own_t0.batched or own_times.batched):
        return equation.with_times(False), times, t0[:, None]
    if not own_times.batched:
        times = times.reshape(len(times), *[1] * batch, times.shape[-1])
        times = np.broadcast_to(times, (*t0.shape, times.shape[-1]))
    if not own_t0.batched:
        t0 = t0.reshape(len(t0), *[1] * batch)
    return equation.with_times(True), times, t0[..., None]


@lru_cache(maxsize=64)
def _solver(equation: Equation) -> Callable[..., Any]:
    def of_one_draw(arguments: tuple[Any, ...]) -> jax.Array:
        return equation.observed_trajectory(*arguments)[0]

    @jax.jit
    def of_all_draws(*arguments: jax.Array) -> jax.Array:
        return jax.lax.map(of_one_draw, tuple(jnp.asarray(x) for x in arguments))

    return of_all_draws


def _observations(
    where: str,
    likelihood: Likelihood,
    batch_ndim: int,
    trailing: int,
    seen: np.ndarray,
    rest: list[np.ndarray],
    random_seed: int | None,
) -> np.ndarray:
    """Draw an observation of each solution."""
    solution = pt.tensor("solution", shape=tuple(None for _ in seen.shape[1:]), dtype="float64")
    parameters = [pt.tensor(shape=x.shape[1:], dtype=str(x.dtype)) for x in rest]
    size = [solution.shape[i] for i in range(batch_ndim + 1)]
    if likelihood.several:
        size.append(pt.constant(len(likelihood.emissions)))
    elif likelihood.event_ndim or trailing:
        size.append(solution.shape[-1])
    graph = likelihood.draw(solution, parameters, size)
    draw = compile_graph(
        [solution, *parameters],
        graph,
        random_seed=random_seed,
        on_unused_input="ignore",
        mode="FAST_COMPILE",
    )
    results: list[np.ndarray | None] = []
    for s in range(len(seen)):
        finite = np.isfinite(seen[s])
        if not finite.any():
            results.append(None)
            continue
        try:
            # A number many supports contain stands in where there is no solution.
            drawn = draw(np.where(finite, seen[s], 1.0), *(x[s] for x in rest))
            drawn = np.array(drawn, dtype="float64")
            rows = finite.reshape(*finite.shape[: batch_ndim + 1], -1).all(axis=-1)
            drawn[~np.broadcast_to(rows, drawn.shape[: batch_ndim + 1])] = np.nan
            results.append(drawn)
        except ValueError as error:
            raise ShapeError(
                compose_message(
                    where,
                    "the likelihood does not fit these times.",
                    got=str(error).splitlines()[0],
                    expected="parameters of the likelihood that do not belong to single times",
                    suggestion="observations=False",
                )
            ) from error
    shapes = [r.shape for r in results if r is not None]
    missing = np.full(shapes[0] if shapes else seen.shape[1:], np.nan)
    return np.stack([missing if r is None else r for r in results])
