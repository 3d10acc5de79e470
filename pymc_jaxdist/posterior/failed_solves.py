"""Why a differential equation could not be solved while a model was sampled."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm

from pymc_jaxdist.kernels.ode.log_likelihood import ODELogLikelihood
from pymc_jaxdist.kernels.ode.problem import Status
from pymc_jaxdist.ops.impossible_evaluations import RememberedInputs
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.posterior.ode_variable import only_ode_variable
from pymc_jaxdist.posterior.parameter_draws import find_log_density, parameter_draws
from pymc_jaxdist.posterior.proposals import proposals_without_density

__all__ = ["FailedSolve", "FailedSolves", "failed_solves"]

# How many of the failures are printed.
SHOWN = 3


@dataclass(frozen=True)
class FailedSolve:
    """A subject whose equation could not be solved, or whose observations were impossible.

    Attributes
    ----------
    subject : tuple of int
        Its position in the batch, ``()`` if there is one subject only.
    reason : str
        Why: ``"too many steps"``, ``"not finite"`` (it blew up, or the vector field returned NaN),
        ``"step too small"``, ``"before start"``, or ``"impossible observation"`` if it was solved.
    params : Any
        The parameters of the vector field, as the user's function receives them.
    y0 : array
        The initial state.
    """

    subject: tuple[int, ...]
    reason: str
    params: Any
    y0: np.ndarray


@dataclass(frozen=True)
class FailedSolves:
    """What `failed_solves` found; print it.

    Attributes
    ----------
    variable : str
        Name of the variable.
    source : {"sampling", "proposals"}
        Whether evaluations of the sampler itself were looked at, or proposals made once more.
    n_failed : int
        Evaluations that failed for some subject.
    n_evaluations : int or None
        Out of how many; None while sampling, when only failures are counted.
    reasons : dict of str to int
        Failures of subjects by reason, among the evaluations that were looked at.
    by_subject : dict of tuple to dict
        The same for each subject.
    failures : list of FailedSolve
        Each of them.
    """

    variable: str
    source: str
    n_failed: int
    n_evaluations: int | None
    reasons: dict[str, int]
    by_subject: dict[tuple[int, ...], dict[str, int]]
    failures: list[FailedSolve]

    def __str__(self) -> str:
        if self.source == "sampling":
            counted = f"{self.n_failed} evaluations failed while sampling"
        else:
            counted = f"{self.n_failed} of {self.n_evaluations} proposals made again failed"
        lines = [f"ODEObserved '{self.variable}': {counted}"]
        total = sum(self.reasons.values())
        for reason, n in self.reasons.items():
            lines.append(f"  {reason:24}{n / total:.0%}")
        if len(self.by_subject) > 1:
            worst = sorted(self.by_subject.items(), key=lambda item: -sum(item[1].values()))
            for subject, reasons in worst[:SHOWN]:
                label = ", ".join(map(str, subject))
                text = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
                lines.append(f"  subject {label:16}{text}")
        lines += [
            f"  {failure.reason:24}at params {_short(failure.params)}"
            for failure in self.failures[:SHOWN]
        ]
        return "\n".join(lines)


def failed_solves(
    idata: Any = None,
    model: pm.Model | None = None,
    var_name: str | None = None,
    *,
    trajectories: int = 100,
    random_seed: int | None = None,
) -> FailedSolves:
    """Tell how many solves failed while a model was sampled, of which subjects, and why.

    Where this process has evaluated the model itself (``pm.sample(cores=1)``, nutpie with its
    Numba backend), these evaluations are looked at: all are counted, and the inputs of 50 that
    failed are remembered and solved once more. `impossible_evaluations(reset=True)` forgets them.

    Worker processes (``pm.sample`` with several cores) take what they know with them when they
    end, and code compiled by JAX as a whole (NumPyro) is not interrupted. Then, given `idata`,
    proposals are made again: Hamiltonian trajectories from its draws, with its step size, those
    that diverged first. That tells why proposals from the posterior fail, not how often they did;
    before sampling and for the beginning of the warm-up, `check_ode` solves for prior draws.

    Parameters
    ----------
    idata : InferenceData or DataTree, optional
        What the sampler returned.
    model : pm.Model, optional
        The model; by default the one in context.
    var_name : str, optional
        Name of the `ODEObserved` variable, if there are several.
    trajectories : int
        How many trajectories of proposals to follow.
    random_seed : int, optional
        Of proposals.

    Returns
    -------
    FailedSolves
        Print it.

    Examples
    --------
    >>> import pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> with pm.Model() as model:
    ...     rate = pm.Normal("rate")
    ...     y = pmj.ODEObserved(
    ...         "y",
    ...         lambda t, y, p: p["rate"] * y**2,
    ...         params={"rate": rate},
    ...         y0=[1.0],
    ...         times=[0.5, 1.0],
    ...         likelihood=lambda y: pm.Normal.dist(y, 0.1),
    ...         observed=[[0.4], [0.1]],
    ...     )
    >>> _ = pmj.impossible_evaluations(reset=True)
    >>> function = model.compile_logp()
    >>> float(function({"rate": 2.0}))  # it is infinite at t = 1 / 2
    -inf
    >>> report = pmj.failed_solves(model=model)
    >>> report.n_failed, report.failures[0].params["rate"]
    (1, 2.0)
    """
    model = pm.modelcontext(model)
    name = var_name if var_name is not None else only_ode_variable("failed_solves", model)
    where = f"failed_solves of '{name}'"
    node = find_log_density(where, model, name, ODELogLikelihood, "ODEObserved")
    kernel: ODELogLikelihood = node.op.kernel
    remembered = RememberedInputs.of_kernel(kernel)
    n_evaluations = None
    inputs = remembered.inputs
    n_failed = remembered.n_evaluations
    source = "sampling"
    if not n_failed and idata is not None:
        source = "proposals"
        points, n_evaluations = proposals_without_density(model, idata, trajectories, random_seed)
        n_failed = len(points)
        if points:
            values = {key: np.stack([point[key] for point in points]) for key in points[0]}
            rows = parameter_draws(where, node.inputs[1:], model, values)
            inputs = [[row[s] for row in rows] for s in range(n_failed)]
    with double_precision():
        observed = jnp.asarray(node.inputs[0].eval())
        failures = [f for given in inputs for f in _failures(kernel, observed, given)]
    by_subject: dict[tuple[int, ...], Counter[str]] = {}
    for failure in failures:
        by_subject.setdefault(failure.subject, Counter())[failure.reason] += 1
    reasons = Counter(failure.reason for failure in failures)
    return FailedSolves(
        variable=name,
        source=source,
        n_failed=n_failed,
        n_evaluations=n_evaluations,
        reasons=dict(reasons.most_common()),
        by_subject={subject: dict(counts) for subject, counts in by_subject.items()},
        failures=failures,
    )


def _failures(
    kernel: ODELogLikelihood, observed: jax.Array, inputs: list[np.ndarray]
) -> list[FailedSolve]:
    """Solve once more, and say what failed."""
    equation = kernel.equation
    status = np.asarray(_why(kernel)(observed, *inputs))
    arguments = inputs[: equation.n_arguments]
    found = []
    for subject in map(tuple, np.argwhere(status != int(Status.SUCCESS))):
        y0, _, _, *leaves = (
            _of_subject(x, subject) if argument.batched else x
            for x, argument in zip(arguments, equation.arguments, strict=True)
        )
        found.append(
            FailedSolve(
                subject=tuple(int(i) for i in subject),
                reason=Status(int(status[subject])).reason,
                params=jax.tree.map(
                    _as_number, equation.as_user_params([jnp.asarray(x) for x in leaves])
                ),
                y0=np.asarray(y0),
            )
        )
    return found


def _of_subject(x: np.ndarray, subject: tuple[int, ...]) -> np.ndarray:
    """Return the part of an array for a subject, along whose dimensions it may have length 1."""
    return x[tuple(i if n > 1 else 0 for i, n in zip(subject, x.shape, strict=False))]


def _as_number(x: Any) -> Any:
    array = np.asarray(x)
    return array.item() if array.ndim == 0 else array


@lru_cache(maxsize=64)
def _why(kernel: ODELogLikelihood) -> Any:
    return jax.jit(kernel.why_impossible)


def _short(params: Any) -> str:
    """Return parameters as text, numbers with four digits."""
    with np.printoptions(precision=4, threshold=6):
        if isinstance(params, dict):
            return ", ".join(f"{key} = {_short(x)}" for key, x in params.items())
        if isinstance(params, tuple | list):
            return "(" + ", ".join(_short(x) for x in params) + ")"
        return f"{params:.4g}" if isinstance(params, float) else str(params)
