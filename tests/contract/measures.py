"""What is asked of every entry, as numbers: tests bound them, and the scoreboard prints them."""

from functools import cache
from typing import Any

import jax
import numpy as np
import pytensor.tensor as pt
from scipy import stats

from pymc_jaxdist.errors import JaxDistError, PrecisionError
from tests.contract import graphs
from tests.contract.registry import ENTRIES
from tests.distributions.compiled import evaluate, relative_error
from tests.reference.differences import central_difference

__all__ = [
    "N_DRAWS",
    "batch_error",
    "broadcast_error",
    "gradient_error",
    "impossible_values",
    "joint_test",
    "mode_error",
    "normalisation",
    "permutation_error",
    "refused_constants",
    "refuses_single_precision_in_jax_mode",
    "score_test",
    "single_precision_error",
]

LAYOUTS = ("shared", "of units")
#: Units of which one value each is drawn.
N_DRAWS = 2000


def _pick(name: str, parameters: list, index: Any) -> list:
    """Take units from parameters that differ between them."""
    entry = ENTRIES[name]
    return [
        x if x.ndim == parameter.value.ndim else x[index]
        for x, parameter in zip(parameters, entry.parameters.values(), strict=True)
    ]


def batch_error(name: str) -> float:
    """Units together against one unit after another, values and gradients."""
    function = graphs.log_density(name, "of units")
    value, parameters = graphs.observed(name), graphs.arguments(name, "of units")
    together, *gradients = function(value, *parameters)
    parts = []
    for n in range(graphs.N_UNITS):
        one = slice(n, n + 1)
        parts.append(function(value[one], *_pick(name, parameters, one)))
    errors = [relative_error(together, np.concatenate([part[0] for part in parts]))]
    for k, (gradient, parameter) in enumerate(
        zip(gradients, ENTRIES[name].parameters.values(), strict=True)
    ):
        each = [part[1 + k] for part in parts]
        alone = sum(each) if parameter.lift is None else np.concatenate(each)
        errors.append(relative_error(gradient, alone))
    return max(errors)


def broadcast_error(name: str) -> float:
    """Parameters that all units share against the same parameters repeated for each unit."""
    value = graphs.observed(name)
    shared = graphs.arguments(name, "shared")
    repeated = []
    for x, parameter in zip(shared, ENTRIES[name].parameters.values(), strict=True):
        alike = parameter.lift is not None and x.ndim == parameter.value.ndim
        copies = (graphs.N_UNITS, *(1,) * ((parameter.lift or 0) + x.ndim))
        repeated.append(np.tile(x, copies) if alike else x)
    once, *gradients = graphs.log_density(name, "shared")(value, *shared)
    often, *many = graphs.log_density(name, "of units")(value, *repeated)
    errors = [relative_error(once, often)]
    for one, several in zip(gradients, many, strict=True):
        total = several if several.shape == one.shape else several.sum(axis=0).reshape(one.shape)
        errors.append(relative_error(one, total))
    return max(errors)


def permutation_error(name: str) -> float:
    """Units in another order against the same results in that order."""
    function, order = graphs.log_density(name, "of units"), np.array([2, 0, 1])
    value, parameters = graphs.observed(name), graphs.arguments(name, "of units")
    first, *gradients = function(value, *parameters)
    second, *others = function(value[order], *_pick(name, parameters, order))
    return max(
        relative_error(first[order], second),
        *(relative_error(a, b) for a, b in zip(_pick(name, gradients, order), others, strict=True)),
    )


def gradient_error(name: str, layout: str = "of units", seed: int = 3) -> float:
    """Gradients against five-point central differences of the value.

    Parameters on a simplex are moved along it: off it the density is zero.
    """
    function = graphs.log_density(name, layout)
    value, parameters = graphs.observed(name), graphs.arguments(name, layout, seed=seed)
    _, *gradients = function(value, *parameters)
    errors = []
    for k, parameter in enumerate(ENTRIES[name].parameters.values()):
        simplex = parameter.kind == "simplex"

        def moved(x: np.ndarray, k: int = k, simplex: bool = simplex) -> float:
            changed = [*parameters]
            changed[k] = x / x.sum(axis=-1, keepdims=True) if simplex else x
            return function(value, *changed)[0].sum()

        gradient = gradients[k]
        if simplex:
            weighted = (gradient * parameters[k]).sum(axis=-1, keepdims=True)
            gradient = gradient - weighted
        expected = central_difference(moved, parameters[k], step=1e-4)
        errors.append(relative_error(gradient, expected))
    return max(errors)


def mode_error(name: str, mode: str) -> float:
    """Value and gradients in a mode of PyTensor against those in the interpreter."""
    value, parameters = graphs.observed(name), graphs.arguments(name, "of units")
    expected = graphs.log_density(name, "of units")(value, *parameters)
    found = graphs.log_density(name, "of units", mode)(value, *parameters)
    return max(relative_error(a, b) for a, b in zip(found, expected, strict=True))


def impossible_values(name: str) -> dict[str, bool]:
    """Put NaN, infinity and what lies outside the domain into every argument, one at a time.

    Returns
    -------
    dict of str to bool
        For each trial whether the answer is right: ``-inf`` for NaN and outside the domain, and
        a number or ``-inf`` for infinity; finite gradients; the other units as they were.
    """
    entry, found = ENTRIES[name], {}
    for layout in LAYOUTS:
        function = graphs.log_density(name, layout)
        value, parameters = graphs.observed(name), graphs.arguments(name, layout)
        usual = function(value, *parameters)[0]
        for k, (label, parameter) in enumerate(entry.parameters.items()):
            own = parameters[k].ndim != parameter.value.ndim  # it has an axis of units
            trials = {
                text: _with_first(parameters[k], bad)
                for text, bad in (("NaN", np.nan), ("inf", np.inf), ("-inf", -np.inf))
            }
            for text, outside in parameter.outside.items():
                trials[text] = parameters[k].copy()
                trials[text][0 if own else ...] = outside
            for text, bad in trials.items():
                changed = [*parameters]
                changed[k] = bad
                logp, *gradients = function(value, *changed)
                concerned = logp[:1] if own else logp
                # A time that is NaN is none; infinite ones lead to limits that may be finite.
                may_be_finite = "inf" in text or (label == "times" and text == "NaN")
                right = not np.isnan(logp).any() and (logp < np.inf).all()
                right &= all(np.isfinite(g).all() for g in gradients)
                right &= may_be_finite or (concerned == -np.inf).all()
                # PyMC checks the parameters of a variable as a whole: the others may be -inf too.
                others = logp[1:] if own else logp[:0]
                right &= all(
                    one in (-np.inf, was) for one, was in zip(others, usual[1:], strict=False)
                )
                found[f"{text} in {label}, {layout}"] = bool(right)
        for text, bad in (("NaN", np.nan), ("inf", np.inf), ("-inf", -np.inf)):
            logp, *gradients = function(_with_first(value, bad), *parameters)
            right = not np.isnan(logp).any() and (logp < np.inf).all()
            right &= all(np.isfinite(g).all() for g in gradients)
            right &= np.array_equal(logp[1:], usual[1:])  # impossible data concern their unit alone
            found[f"{text} observed, {layout}"] = bool(right)
    return found


def _with_first(x: np.ndarray, bad: float) -> np.ndarray:
    changed = np.array(x, dtype=float)
    changed.flat[0] = bad
    return changed


def refused_constants(name: str) -> dict[str, bool]:
    """Write NaN and what lies outside the domain into a model as constants.

    Returns
    -------
    dict of str to bool
        For each trial whether an error of the package was raised, or the density is ``-inf``.
    """
    entry, found = ENTRIES[name], {}
    value = graphs.observed(name)
    right = dict(zip(entry.parameters, graphs.arguments(name, "shared"), strict=True))
    for label, parameter in entry.parameters.items():
        trials = {"NaN": _with_first(right[label], np.nan), **parameter.outside}
        for text, bad in trials.items():
            constants = {k: pt.constant(x) for k, x in (right | {label: bad}).items()}
            try:
                logp = graphs.log_density_graph(entry, pt.constant(value), constants)
            except JaxDistError as error:
                found[f"{text} in {label}"] = "\n  " in str(error)
                continue
            computed = evaluate(logp)
            finite_is_right = label == "times"  # an observation at no time is none
            found[f"{text} in {label}"] = bool(
                not np.isnan(computed).any() and (finite_is_right or (computed == -np.inf).any())
            )
    return found


def single_precision_error(name: str) -> float:
    """Inputs in single precision: the result is that of the same numbers in double precision."""
    value = graphs.observed(name).astype("float32")
    parameters = []
    for x, parameter in zip(
        graphs.arguments(name, "of units"), ENTRIES[name].parameters.values(), strict=True
    ):
        # Probabilities that sum to one in single precision too
        rounded = np.round(x * 64) / 64
        if parameter.kind == "simplex":
            rounded[..., -1] = 1 - rounded[..., :-1].sum(axis=-1)
        parameters.append(rounded.astype("float32"))
    expected = graphs.log_density(name, "of units")(
        value.astype(float), *(x.astype(float) for x in parameters)
    )[0]
    found = graphs.log_density(name, "of units", dtype="float32")(value, *parameters)[0]
    assert found.dtype == "float64"
    return relative_error(found, expected)


def refuses_single_precision_in_jax_mode(name: str) -> bool:
    """Tell whether JAX in single precision is refused with a message that says what to do."""
    function = graphs.log_density.__wrapped__
    with jax.enable_x64(False):
        try:
            compiled = function(name, "of units", "JAX")
            compiled(graphs.observed(name), *graphs.arguments(name, "of units"))
        except PrecisionError as error:
            return "jax_enable_x64" in str(error)
    return False


@cache
def _drawn(name: str, n: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Parameters of `n` units, of which the moved one follows its prior, and their draws."""
    parameters = graphs.arguments(name, "of units", n, seed=11)
    return parameters, graphs.draws(name, parameters, n)


def score_test(name: str, n: int = N_DRAWS) -> dict[str, float]:
    """Mean gradient over draws, in standard errors: it is zero at the parameters of the draws.

    This is where moments of draws and of the density meet: for a Normal mean the score is the
    difference of means, for a scale that of variances.
    """
    parameters, value = _drawn(name, n)
    _, *scores = graphs.log_density(name, "of units")(value, *parameters)
    apart = {}
    for (label, parameter), x, score in zip(
        ENTRIES[name].parameters.items(), parameters, scores, strict=True
    ):
        if parameter.lift is None:
            continue
        along = score
        if parameter.kind == "simplex":
            along = score - (score * x).sum(axis=-1, keepdims=True)
        flat = along.reshape(n, -1)
        flat = flat[:, flat.std(axis=0) > 1e-12]  # what the data do not concern has no score
        z = flat.mean(axis=0) / (flat.std(axis=0) / np.sqrt(n))
        apart[label] = float(np.abs(z).max(initial=0.0))
    return apart


def normalisation(name: str, n: int = N_DRAWS) -> float:
    """Mean of ``p(y | other) / p(y | own)`` over draws ``y``: 1, here in standard errors."""
    parameters, value = _drawn(name, n)
    function = graphs.log_density(name, "of units")
    position = list(ENTRIES[name].parameters).index(ENTRIES[name].moved)
    other = [*parameters]
    other[position] = other[position] + 0.1
    ratio = np.exp(function(value, *other)[0] - function(value, *parameters)[0])
    return float((ratio.mean() - 1) / (ratio.std() / np.sqrt(n)))


def joint_test(
    name: str, n: int = N_DRAWS, steps: int = 25, temper: float = 1.0
) -> dict[str, float]:
    """Geweke's test (2004) with independent replicates.

    A parameter is drawn from its prior and data given it. Metropolis steps that use the
    log-density leave the joint distribution as it was, if the draws are those of the density.

    Parameters
    ----------
    name : str
    n : int
        Replicates: units of the distribution.
    steps : int
    temper : float
        Multiplies the log-density; other than 1 to see whether the test could fail.

    Returns
    -------
    dict of str to float
        Means of functions of parameter and data after the steps less those before, in standard
        errors; and the share of accepted steps.
    """
    entry, rng = ENTRIES[name], np.random.default_rng(17)
    position = list(entry.parameters).index(entry.moved)
    centre, sd = entry.parameters[entry.moved].value, entry.prior_sd
    parameters = graphs.arguments(name, "shared")
    parameters = [
        np.tile(x, (n, *(1,) * (p.lift + x.ndim)))
        if p.lift is not None and x.ndim == p.value.ndim
        else np.tile(x[:1], (n, *(1,) * (x.ndim - 1)))
        if p.lift is not None
        else x
        for x, p in zip(parameters, entry.parameters.values(), strict=True)
    ]
    theta = centre + sd * rng.normal(size=parameters[position].shape)
    own_axes = tuple(range(1, theta.ndim))
    parameters[position] = theta
    value = graphs.draws(name, parameters, n)
    function = graphs.log_density(name, "of units")

    def log_joint(theta: np.ndarray) -> np.ndarray:
        moved = [*parameters]
        moved[position] = theta
        prior = stats.norm.logpdf(theta, centre, sd).sum(axis=own_axes)
        return temper * function(value, *moved)[0] + prior

    start, current, accepted = theta, log_joint(theta), 0.0
    for _ in range(steps):
        proposal = theta + sd * rng.normal(size=theta.shape)
        proposed = log_joint(proposal)
        better = np.log(rng.random(n)) < proposed - current
        theta = np.where(better.reshape(n, *(1,) * (theta.ndim - 1)), proposal, theta)
        current = np.where(better, proposed, current)
        accepted += better.mean() / steps

    at_centre = [*parameters]
    at_centre[position] = np.broadcast_to(centre, theta.shape)
    score = function(value, *at_centre)[1 + position].reshape(n, -1)
    score = np.tanh(score / np.median(np.abs(score), axis=0))  # bounded, or few data decide

    def functions(theta: np.ndarray) -> dict[str, np.ndarray]:
        """Of parameter and data; the data through their score, which says most about them."""
        t = (theta - centre).reshape(n, -1)
        pairs = {"t": t, "t**2": t**2, "t * s": t * score, "t**2 * s**2": t**2 * score**2}
        return {label: each.sum(axis=1) for label, each in pairs.items()}

    before, after = functions(start), functions(theta)
    apart = {}
    for label in before:
        change = after[label] - before[label]
        apart[label] = float(change.mean() / (change.std() / np.sqrt(n)))
    return {**apart, "accepted": accepted}
