"""Whether a differential equation is solved, and solved well, over the prior or posterior."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
from pymc.initial_point import make_initial_point_fn
from pytensor.graph.basic import Apply

from pymc_jaxdist.distributions.ode_arguments import DEFAULT_ATOL
from pymc_jaxdist.kernels.ode.equation import METHODS, Equation
from pymc_jaxdist.kernels.ode.log_likelihood import ODELogLikelihood
from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE
from pymc_jaxdist.kernels.ode.problem import Status
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5
from pymc_jaxdist.ops.kernel_calls import value_and_gradients
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.posterior.ode_initial_values import heights_from_default_starts
from pymc_jaxdist.posterior.ode_variable import only_ode_variable
from pymc_jaxdist.posterior.parameter_draws import find_log_density, flat_draws, parameter_draws

__all__ = ["ODECheck", "check_ode"]

# How much tighter the solution is to which others are compared.
TIGHTER = 1e-3
# Of a method of order 4 with steps of fixed size: an error of a thousandth or less.
SMALLER_STEPS = 6
# How far below the best draw the data are as good as impossible: no chain stays there.
IMPOSSIBLY_LOW = 100.0
# From how many points where chains may begin it is tried to climb, with how many steps, and how
# much lower than the highest another peak is (of two draws one is e^10 times as probable).
STARTS, CLIMB, LOWER = 8, 100, 10.0
# PyMC's initial point is far away if so large a share of the prior draws fits better.
FAR_AWAY = 0.8
# How many of the subjects that fail are printed.
SUBJECTS_SHOWN = 5


@dataclass(frozen=True)
class ODECheck:
    """What `check_ode` found; print it.

    Attributes
    ----------
    variable : str
        Name of the variable.
    n_solves : int
        Draws times subjects.
    failures : dict of str to int
        How many solves failed, by reason.
    steps : tuple of float
        Median, 95 % quantile and maximum of the steps of solves that succeeded.
    stiff : float
        Share of solves in which the explicit method was limited by stability; NaN if no method
        was tried that tells.
    value_error : float
        Largest difference of the log-likelihood of a draw from that of a much tighter solve, of
        draws whose log-likelihood is within 100 of the best.
    gradient_error : float
        Largest relative difference of its gradient, of the same draws.
    advice : tuple of str
        What to change.
    failures_by_subject : dict of str to (...) array of int
        How many solves of each subject failed, by reason; one number if there are no subjects.
    """

    variable: str
    n_solves: int
    failures: dict[str, int]
    steps: tuple[float, float, float]
    stiff: float
    value_error: float
    gradient_error: float
    advice: tuple[str, ...]
    failures_by_subject: dict[str, np.ndarray]

    @property
    def failed(self) -> float:
        """Share of solves that failed."""
        return sum(self.failures.values()) / self.n_solves

    def __str__(self) -> str:
        reasons = ", ".join(f"{n} {reason}" for reason, n in self.failures.items())
        median, high, largest = self.steps
        stiff = (
            "not known: no explicit method was tried"
            if np.isnan(self.stiff)
            else f"{self.stiff:.1%}"
        )
        lines = [
            f"ODEObserved '{self.variable}': {self.n_solves} solves",
            f"  failed            {self.failed:.1%}" + (f"  ({reasons})" if reasons else ""),
            f"  steps             median {median:.0f}, 95 % {high:.0f}, largest {largest:.0f}",
            f"  stiff             {stiff}",
            f"  log-likelihood    differs by {self.value_error:.2g} from a much tighter solve",
            f"  gradient          differs by {self.gradient_error:.2g} (relative)",
        ]
        lines[2:2] = self._subjects_that_fail()
        return "\n".join(lines + [f"  advice            {text}" for text in self.advice])

    def _subjects_that_fail(self) -> list[str]:
        """Return lines on those subjects that fail most."""
        tables = self.failures_by_subject
        total = sum(tables.values(), start=np.zeros(()))
        if total.ndim == 0:
            return []
        order = np.argsort(-total.ravel(), kind="stable")
        failing = [np.unravel_index(i, total.shape) for i in order if total.ravel()[i] > 0]
        lines = []
        for subject in failing[:SUBJECTS_SHOWN]:
            label = ", ".join(str(int(i)) for i in subject)
            reasons = ", ".join(f"{t[subject]} {r}" for r, t in tables.items() if t[subject])
            lines.append(f"    subject {label:8}  {reasons}")
        more = len(failing) - SUBJECTS_SHOWN
        return [*lines, f"    and {more} more subjects"] if more > 0 else lines


def check_ode(
    model: pm.Model | None = None,
    var_name: str | None = None,
    *,
    idata: Any = None,
    draws: int = 100,
    random_seed: int | None = None,
) -> ODECheck:
    """Solve a model's differential equation for draws of the parameters, and report.

    Before sampling, draws from the prior tell whether the solver can cope with what the sampler
    may propose. It is tried to climb to the largest posterior density from points where PyMC would
    let chains begin: if not all lead to the same height, chains may stay in different modes.
    After sampling, draws from the posterior tell how accurate the results are.

    Parameters
    ----------
    model : pm.Model, optional
        The model; by default the one in context.
    var_name : str, optional
        Name of the `ODEObserved` variable, if there are several.
    idata : InferenceData or DataTree, optional
        If given, draws come from its posterior; otherwise from the prior.
    draws : int
        Number of draws.
    random_seed : int, optional
        For the draws.

    Returns
    -------
    ODECheck
        Print it.

    Examples
    --------
    >>> import pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> with pm.Model() as model:
    ...     rate = pm.HalfNormal("rate")
    ...     y = pmj.ODEObserved(
    ...         "y",
    ...         lambda t, y, rate: -rate * y,
    ...         params=rate,
    ...         y0=[1.0],
    ...         times=[1.0, 2.0],
    ...         likelihood=lambda y: pm.Normal.dist(y, 0.1),
    ...         observed=[[0.4], [0.1]],
    ...     )
    >>> report = pmj.check_ode(model, draws=20, random_seed=1)
    >>> report.failed, report.value_error < 1e-3
    (0.0, True)
    """
    model = pm.modelcontext(model)
    name = var_name if var_name is not None else only_ode_variable("check_ode", model)
    where = f"check_ode of '{name}'"
    node = find_log_density(where, model, name, ODELogLikelihood, "ODEObserved")
    if idata is not None:
        found = flat_draws(model, idata["posterior"])
        n_found = len(next(iter(found.values())))
        rng = np.random.default_rng(random_seed)
        chosen = rng.choice(n_found, size=min(draws, n_found), replace=False)
        values = {key: x[chosen] for key, x in found.items()}
    else:
        free = list(model.free_RVs)
        drawn = pm.draw(free, draws=draws, random_seed=random_seed)
        values = {rv.name: np.asarray(x) for rv, x in zip(free, drawn, strict=True)}
    inputs = parameter_draws(where, node.inputs[1:], model, values)
    with double_precision():
        report = _report(name, node, inputs)
        if idata is not None:
            return report
        point = make_initial_point_fn(model=model, return_transformed=False)(random_seed)
        values = {rv.name: np.asarray(point[rv.name])[None] for rv in model.free_RVs}
        start = parameter_draws(where, node.inputs[1:], model, values)
        advice = _advice_on_the_start(name, model, node, start, inputs, random_seed)
        return replace(report, advice=(*report.advice, *advice))


def _advice_on_the_start(
    name: str,
    model: pm.Model,
    node: Apply,
    start: list[np.ndarray],
    prior: list[np.ndarray],
    random_seed: int | None,
) -> tuple[str, ...]:
    """Say if PyMC begins far away, or where chains may find different modes.

    From far away a sampler meets other modes before it meets the one that matters: oscillations
    that are too fast, of which the data show every tenth.
    """
    remedy = f"pm.sample(initvals=pmj.initial_values('{name}'), init='adapt_diag')"
    findings = []
    heights = heights_from_default_starts(model, STARTS, CLIMB, random_seed)
    low = int((heights < heights.max() - LOWER).sum())
    if low:
        findings.append(
            f"from {low} of {STARTS} points where PyMC may begin, the nearest mode is not the "
            "highest, and chains may stay there"
        )
    kernel, observed = node.op.kernel, jnp.asarray(node.inputs[0].eval())
    log_likelihood = value_and_gradients(kernel, node.op.differentiable, ())

    def total(inputs: list[np.ndarray], s: int) -> float:
        return float(np.sum(log_likelihood(observed, *(x[s] for x in inputs))[0]))

    begins = total(start, 0)
    better = np.mean([total(prior, s) > begins for s in range(len(prior[0]))])
    if better >= FAR_AWAY:
        findings.append(
            f"{better:.0%} of the prior draws fit better than PyMC's initial point "
            f"(log-likelihood {begins:.4g})"
        )
    return (f"{'; '.join(findings)}: {remedy}",) if findings else ()


def _report(name: str, node: Apply, inputs: list[np.ndarray]) -> ODECheck:
    kernel: ODELogLikelihood = node.op.kernel
    equation = kernel.equation
    observed = jnp.asarray(node.inputs[0].eval())
    status_of_each, steps, stiffness = (
        np.asarray(x) for x in _how_it_went(equation)(*inputs[: equation.n_arguments])
    )
    status, steps, stiffness = (x.ravel() for x in (status_of_each, steps, stiffness))
    solved = status == int(Status.SUCCESS)
    by_subject = {
        Status(int(s)).reason: (status_of_each == s).sum(0) for s in np.unique(status[~solved])
    }
    failures = {reason: int(counts.sum()) for reason, counts in by_subject.items()}
    tight = replace(
        equation,
        rtol=max(equation.rtol * TIGHTER, 1e-13),
        atol=tuple(a * TIGHTER for a in equation.atol)
        if isinstance(equation.atol, tuple)
        else equation.atol * TIGHTER,
        max_steps=20 * equation.max_steps,
    )
    if isinstance(tight.solver, RK4):
        tight = replace(tight, solver=RK4(tight.solver.step_size / SMALLER_STEPS))
    wrt = tuple(i for i in node.op.differentiable if i > 0)
    ours = value_and_gradients(kernel, node.op.differentiable, wrt)
    theirs = value_and_gradients(
        replace(kernel, equation=replace(tight, sensitivity="forward")), node.op.differentiable, wrt
    )
    differences = []
    n_draws = len(inputs[0]) if inputs else 0
    for s in range(n_draws):
        arguments = [x[s] for x in inputs]
        (value, *gradients), (reference, *expected) = (
            [np.asarray(x) for x in f(observed, *arguments)] for f in (ours, theirs)
        )
        if not (np.isfinite(value).all() and np.isfinite(reference).all()):
            continue
        mine, right = (
            np.concatenate([np.ravel(g) for g in gs] or [np.zeros(1)])
            for gs in (gradients, expected)
        )
        scale = max(1.0, float(np.abs(right).max()))
        apart = float(np.abs(mine - right).max()) / scale
        differences.append((reference.sum(), abs(value.sum() - reference.sum()), apart))
    value_error = gradient_error = 0.0
    if differences:
        heights, values, gradients = np.array(differences).T
        possible = heights >= heights.max() - IMPOSSIBLY_LOW
        value_error = float(values[possible].max())
        gradient_error = float(gradients[possible].max())
    taken = steps[solved] if solved.any() else np.zeros(1)
    stiff = float((stiffness > 1.0).mean()) if _tells_stiffness(equation) else np.nan
    return ODECheck(
        variable=name,
        n_solves=len(status),
        failures=failures,
        steps=(float(np.median(taken)), float(np.quantile(taken, 0.95)), float(taken.max())),
        stiff=stiff,
        value_error=value_error,
        gradient_error=gradient_error,
        advice=_advice(equation, failures, len(status), stiff, value_error),
        failures_by_subject=by_subject,
    )


def _advice(
    equation: Equation, failures: dict[str, int], n_solves: int, stiff: float, value_error: float
) -> tuple[str, ...]:
    advice = []
    if failures.get(Status.TOO_MANY_STEPS.reason, 0):
        advice.append(f"raise max_steps (now {equation.max_steps}), or narrow the prior")
        if (smallest := float(np.min(equation.atol))) < DEFAULT_ATOL:
            advice.append(
                f"or atol={DEFAULT_ATOL:g} (now {smallest:g}): fewer steps where a state dies out"
            )
    if sum(failures.values()) > 0.1 * n_solves:
        advice.append("many solves fail: extreme parameters are likely a priori")
    if stiff > 0.5 and equation.solver == "auto":
        advice.append("stiff for most draws: solver='stiff' saves the explicit attempt")
    if stiff > 0.0 and equation.solver in ("tsit5", "explicit"):
        advice.append("stiff for some draws: solver='auto'")
    if value_error > 0.1 and isinstance(equation.solver, RK4):
        advice.append(
            f"smaller steps (now {equation.solver.step_size:g}), or solver='auto', which chooses "
            "their size"
        )
    elif value_error > 0.1:
        advice.append(f"lower rtol (now {equation.rtol:g}) until the log-likelihood agrees")
    return tuple(advice)


def _tells_stiffness(equation: Equation) -> bool:
    """Tell whether the first method is an explicit one that notices stiffness."""
    if not isinstance(equation.solver, str) or isinstance(equation.vector_field, LinearODE):
        return False
    return isinstance(METHODS[equation.solver][0], Tsit5)


@lru_cache(maxsize=64)
def _how_it_went(equation: Equation) -> Any:
    def of_one_draw(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        solution = equation.trajectory(*arguments).solution
        subjects = equation.batch_shape(arguments)
        status = solution.status.reshape(subjects)
        return status, solution.accepted + solution.rejected, solution.stiffness

    @jax.jit
    def of_all_draws(*arguments: jax.Array) -> tuple[Any, ...]:
        return jax.lax.map(of_one_draw, tuple(jnp.asarray(x) for x in arguments))

    return of_all_draws
