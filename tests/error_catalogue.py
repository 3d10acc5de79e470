"""Every error message of the package with an input that raises it.

`docs/errors.md` is generated from it (``python -m tests.error_catalogue``), and
`tests/test_error_catalogue.py` holds both to the source: a message without an input fails.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
from flax import linen as nn

import pymc_jaxdist as pmj
from pymc_jaxdist import errors
from pymc_jaxdist.ops import log_density
from tests.distributions import test_bad_input as markov
from tests.distributions import test_marginal_hsmm as semi_markov
from tests.distributions import test_memory_estimate as too_large
from tests.distributions import test_ode_bad_input as equations
from tests.distributions.compiled import FAST

__all__ = ["CATALOGUE", "PAGE", "Mistake", "complaint", "own_text", "page"]

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
PACKAGE = Path(errors.__file__).parent
MATRIX = np.array([[0.9, 0.1], [0.2, 0.8]])
X = np.linspace(-1.0, 1.0, 10).reshape(5, 2)
START = {"kernel": np.ones((2, 1))}


class Mistake(NamedTuple):
    """What somebody did, where it belongs in the catalogue, and how."""

    chapter: str
    text: str
    make: Callable[[], Any]


class Raised(NamedTuple):
    """An error, and where in the package its message was laid out."""

    error: Exception
    file: str
    line: int


def own_text(error: Exception) -> str:
    """Return a message without what PyTensor 2 adds to errors of its Ops."""
    return str(error).split("\nApply node that caused the error")[0]


def complaint(mistake: Mistake) -> Exception | None:
    """Make the mistake in a model of its own; return the error."""
    raised = observe(mistake)
    return None if raised is None else raised.error


def observe(mistake: Mistake) -> Raised | None:
    """Make the mistake, and note which line of the package lays out the message."""
    seen: list[tuple[str, int]] = [("", 0)]

    def recording(*arguments: Any, **keywords: Any) -> str:
        caller = sys._getframe(1)
        seen.append((caller.f_code.co_filename, caller.f_lineno))
        return compose_message(*arguments, **keywords)

    compose_message = errors.compose_message
    holders = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("pymc_jaxdist")
        and vars(module).get("compose_message") is compose_message
    ]
    for module in holders:
        module.compose_message = recording
    try:
        with pm.Model():
            mistake.make()
    except errors.JaxDistError as error:
        return Raised(error, *seen[-1])
    finally:
        for module in holders:
            module.compose_message = compose_message
    return None


def posterior(**variables: Any) -> dict[str, xr.Dataset]:
    """Return draws (chain, draw, ...) the way InferenceData and DataTree hold them."""
    arrays = {name: np.asarray(value, dtype=float) for name, value in variables.items()}
    return {
        "posterior": xr.Dataset(
            {
                name: (("chain", "draw", *(f"{name}_{i}" for i in range(x.ndim - 2))), x)
                for name, x in arrays.items()
            },
            {"chain": [0], "draw": [0]},
        )
    }


#: A variable that a function must not refer to.
VARIABLE = pt.dscalar("k")
DRAWS = posterior(mu=[[[0.0, 3.0]]])


def hidden(**arguments: Any) -> pm.Model:
    """Build a model of a hidden Markov chain."""
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        given = {"emission": pm.Normal.dist(mu, 1.0), "transition_matrix": MATRIX} | arguments
        pmj.MarginalHMM("y", **{"observed": np.zeros(4)} | given)
    return model


def draw_inside_a_density() -> Any:
    emission = pm.CustomDist.dist(
        [0.0, 1.0], logp=lambda value, mu: value - mu + pm.Normal.dist(), signature="()->()"
    )
    return hidden(emission=emission).logp()


def hidden_with_covariate() -> pm.Model:
    with pm.Model() as model:
        x = pm.Data("x", np.zeros(4))
        mu = pm.Normal("mu", shape=2)
        emission = pm.Normal.dist(mu * x[:, None], 1.0)
        pmj.MarginalHMM("y", emission, MATRIX, observed=np.zeros(4))
    return model


def decay(**arguments: Any) -> Any:
    given = {**equations.RIGHT, **arguments}
    return pmj.ODEObserved("y", **given)


def impossible_decay_model() -> pm.Model:
    with pm.Model() as model:
        rate = pm.HalfNormal("rate")
        pmj.ODEObserved(
            "y",
            lambda t, y, p: -p * y,
            params=rate,
            y0=[1.0],
            times=[1.0, 2.0],
            observe=0,
            likelihood=pm.Exponential.dist,
            observed=[-1.0, -2.0],
        )
    return model


def decay_model(named: bool = False) -> pm.Model:
    with pm.Model() as model:
        rate = pm.HalfNormal("rate")
        pmj.ODEObserved(
            "y",
            (lambda t, y, p: {"a": -p["k"] * y["a"]}) if named else (lambda t, y, p: -p["k"] * y),
            params={"k": rate},
            y0={"a": 1.0} if named else [1.0],
            times=[1.0, 2.0],
            likelihood=lambda y: pm.Normal.dist(y["a"] if named else y[..., 0], 1.0),
            observed=[0.5, 0.1],
        )
    return model


def linear(weights: Any, x: Any) -> Any:
    return x @ weights["kernel"]


class Linen(nn.Module):
    """A layer of Flax, which tells the shapes of its weights."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(1, name="dense")(x)


def normal(out: Any) -> Any:
    return pm.Normal.dist(out[..., 0], 1.0)


def network(net: Any = linear, weights: Any = START, likelihood: Any = normal, **more: Any) -> Any:
    given = {"x": X, "observed": np.zeros(5)} | more
    return pmj.NeuralNetObserved(
        "y", net, weights, given["x"], likelihood=likelihood, observed=given["observed"]
    )


def network_model() -> pm.Model:
    with pm.Model() as model:
        weights = pmj.nn_priors("net", linear, X, start=START)
        network(weights=weights)
    return model


def priors(prior: Any = None, net: Any = linear, x: Any = X, start: Any = START) -> Any:
    return pmj.nn_priors("net", net, x, prior, start=start)


def own(logp: Any, *params: Any, **arguments: Any) -> Any:
    return pmj.JaxDist.dist(logp, *params, **arguments)


def noisy(weights: Any, x: Any) -> Any:
    return linear(weights, x) + jax.random.normal(jax.random.key(0))


def walk(y: Any, m: Any) -> Any:
    return -jnp.sum((y - m) ** 2)


def nan_gradient() -> Any:
    tau = pm.Exponential("tau", 1.0)

    def unsafe(y: Any, tau: Any) -> Any:
        return jnp.where(y > 0, -y * tau, jnp.sqrt(tau - 1.0))

    return pmj.JaxDist("y", unsafe, tau, observed=[1.0, 2.0])


def refers_to_a_variable() -> Any:
    mu = pm.Normal("mu")
    return pmj.JaxDist("y", lambda y: -((y - mu) ** 2), observed=[1.0])


def single_precision_in_jax() -> Any:
    x = pt.dvector("x")
    with jax.enable_x64(False):
        return pytensor.function([x], log_density(jnp.square, x, batch_ndim=1), mode="JAX")([1.0])


def data_of_other_lengths() -> Any:
    x = pt.dvector("x")
    logp = log_density(lambda y, x: y * x, np.ones(3), x, batch_ndim=1)
    return pytensor.function([x], logp, mode=FAST)(np.ones(4))


def forked_process() -> Any:
    from unittest import mock

    from pymc_jaxdist.ops import processes

    with mock.patch.object(processes, "_forked_while_jax_was_running", True):
        return processes.refuse_hanging_fork()


def without_diffrax() -> Any:
    from unittest import mock

    from pymc_jaxdist.kernels.ode.diffrax_solve import solve_with_diffrax

    with mock.patch.dict(sys.modules, {"diffrax": None}):
        return solve_with_diffrax(None, diffrax.Dopri5(), None, ())  # the first thing it does


def parameters_alone() -> Any:
    model = pm.Model()
    with model:
        pmj.ODEObserved(
            "z",
            lambda t, y, rate: -rate * y,
            params=pm.HalfNormal("rate", shape=3),
            y0=np.ones((3, 1)),
            times=[1.0],
            likelihood=lambda y: pm.Normal.dist(y, 1.0),
            observed=np.ones((3, 1, 1)),
        )
    return pmj.predict(posterior(rate=np.ones((1, 1, 3))), "z", params=np.ones(2), model=model)


def drawn(n_subjects: int = 3, observed: Any = None) -> Any:
    from pymc_jaxdist import plots

    dims = ("chain", "draw", "subject", "time")
    solution = xr.DataArray(np.zeros((1, 1, n_subjects, 5)), dims=dims)
    return plots.plot_solution(solution, observed=observed)


def plotted(names: list[str]) -> Any:
    from pymc_jaxdist import plots

    return plots.plot_transition_matrix(MATRIX, state_names=names)


ORDER_TWO = np.full((2, 2, 2), 0.5)
CATALOGUE: dict[str, Mistake] = {}


def add(chapter: str, mistakes: dict[str, Callable[[], Any]]) -> None:
    for text, make in mistakes.items():
        CATALOGUE[f"{chapter}: {text}"] = Mistake(chapter, text, make)


add(
    "MarginalHMM",
    {
        text: lambda changes=changes: markov.call(**changes)
        for text, (changes, _, _) in markov.MISTAKES.items()
    },
)
add(
    "MarginalHMM",
    {
        "nothing tells the number of times": lambda: pmj.MarginalHMM.dist(markov.normal(), MATRIX),
        "no times": lambda: pmj.MarginalHMM.dist(markov.normal(), MATRIX, steps=0),
        "a shape without times": lambda: pmj.MarginalHMM.dist(markov.normal(), MATRIX, shape=()),
        "a constant outside the domain of the emission": lambda: pmj.MarginalHMM.dist(
            markov.normal(sigma=-1.0), MATRIX, steps=5
        ),
        "an emission that depends on a random draw": draw_inside_a_density,
        "parameters of sequences that do not broadcast": lambda: pmj.MarginalHMM.dist(
            pm.Normal.dist(np.zeros((3, 1, 2)), 1.0), np.stack([MATRIX] * 2)[:, None], steps=5
        ),
        "a number of sequences that is not known": lambda: pmj.MarginalHMM.dist(
            pm.Normal.dist(pt.tensor("mu", shape=(None, 1, 2)), 1.0), MATRIX, steps=5
        ),
        "more than fits into memory": too_large.large_markov,
    },
)
add(
    "MarginalHMM of a higher order, AutoRegressive, product_chain",
    {
        "order 0": lambda: hidden(order=0),
        "a matrix for order 2": lambda: hidden(order=2),
        "initial probabilities of one state for order 2": lambda: hidden(
            transition_matrix=ORDER_TWO, initial_probs=[0.5, 0.5], order=2
        ),
        "counts as innovations": lambda: hidden(
            emission=pmj.AutoRegressive(pm.Poisson.dist([1.0, 2.0]), [0.5])
        ),
        "no lags": lambda: hidden(
            emission=pmj.AutoRegressive(pm.Normal.dist([0.0, 1.0], 1.0), np.zeros((2, 0)))
        ),
        "coefficients for other states": lambda: hidden(
            emission=pmj.AutoRegressive(pm.Normal.dist([0.0, 1.0], 1.0), np.zeros((3, 1)))
        ),
        "a matrix of a product chain that is a vector": lambda: pmj.product_chain(
            MATRIX, [0.5, 0.5]
        ),
    },
)
add(
    "MarginalHSMM",
    {
        text: lambda changes=changes: pmj.MarginalHSMM.dist(**{**semi_markov.RIGHT, **changes})
        for text, (changes, _, _) in semi_markov.MISTAKES.items()
    },
)
add(
    "hmm_logp and transition matrices",
    {
        "terms without states": lambda: pmj.hmm_logp(np.zeros(3), [0.5, 0.5], MATRIX),
        "terms without times": lambda: pmj.hmm_logp(np.zeros((0, 2)), [0.5, 0.5], MATRIX),
        "sequences that do not broadcast": lambda: pmj.hmm_logp(
            np.zeros((3, 4, 2)), np.full((2, 2), 0.5), MATRIX
        ),
        "logits that are a vector": lambda: pmj.transition_from_logits(np.zeros(2)),
        "rates that are no matrix": lambda: pmj.transition_from_rates(np.zeros(2), [1.0]),
        "a negative gap": lambda: pmj.transition_from_rates(np.zeros((2, 2)), [-1.0]),
        "columns of different lengths": lambda: pmj.pad_observations(
            [1, 1, 2], [1.0, 2.0], [0.1, 0.2, 0.3]
        ),
        "a row without a time": lambda: pmj.pad_observations([1, 1], [1.0, np.nan], [0.1, 0.2]),
        "a value that is a word": lambda: pmj.pad_observations([1, 1], [1.0, 2.0], [0.1, "<LOQ"]),
    },
)
add(
    "ODEObserved",
    {
        text: lambda changes=changes: decay(**changes)
        for text, (changes, _, _) in equations.MISTAKES.items()
    },
)
add(
    "ODEObserved",
    {
        "steps of no size": lambda: pmj.RK4(step_size=0.0),
        "a kind of input that does not exist": lambda: pmj.interpolated([0.0], [1.0], "quadratic"),
        "an empty likelihood": lambda: decay(likelihood=lambda y: ()),
        "a number of states that is not known": lambda: decay(y0=pt.dvector("y0")),
        "observations of a shape that is not known": lambda: pmj.ODEObserved.dist(
            lambda t, y, p: -y,
            params=pt.tensor("p", shape=(None, 1)),
            y0=pt.tensor("y0", shape=(None, 1)),
            times=[1.0],
            likelihood=lambda y: pm.Normal.dist(y[..., 0], 1.0),
        ),
        "a diffrax solver with doses": lambda: decay(
            solver=diffrax.Dopri5(), events=pmj.Doses([1.0], 1.0, 0)
        ),
        "a dose at no time": lambda: decay(events=pmj.Doses([np.inf], 1.0, 0)),
        "more amounts than doses": lambda: decay(events=pmj.Doses([1.0], [1.0, 2.0, 3.0], 0)),
        "a jump without a function": lambda: decay(events=pmj.Jumps([1.0], 2.0)),
        "a diffrax solver without diffrax": without_diffrax,
        "a function that refers to a variable of the model": lambda: decay(
            vector_field=lambda t, y, p, k=VARIABLE: -k * y
        ),
    },
)
add(
    "Networks",
    {
        "no network": lambda: priors(net=3, start=None),
        "a plain function without its weights": lambda: priors(start=None),
        "covariates of another width": lambda: priors(x=np.zeros((4, 3))),
        "covariates without rows": lambda: priors(x=1.0),
        "random numbers": lambda: priors(net=noisy),
        "single precision": lambda: priors(net=lambda w, x: linear(w, x).astype(jnp.float32)),
        "one result for all rows": lambda: priors(net=lambda w, x: linear(w, x).sum()),
        "a pattern that matches nothing": lambda: priors(
            {"*.nothing": pmj.FanIn(), "*": pmj.FanIn()}
        ),
        "a weight without a prior": lambda: priors({}),
        "a prior of another shape": lambda: priors(pm.Normal.dist(np.zeros(5), 1.0)),
        "frozen values of another shape": lambda: priors({"*": pmj.Frozen(np.ones(3))}),
        "a start that is not finite": lambda: priors(start={"kernel": np.full((2, 1), np.nan)}),
        "a weight that is missing": lambda: network(
            net=Linen(), weights={"dense.kernel": np.ones((2, 1))}
        ),
        "a weight that is not finite": lambda: network(weights={"kernel": np.full((2, 1), np.inf)}),
        "a weight of another shape": lambda: network(
            net=Linen(), weights={"dense.kernel": np.ones((3, 1)), "dense.bias": np.zeros(1)}
        ),
        "a likelihood that is no function": lambda: network(likelihood=pm.Normal.dist()),
        "a likelihood that ignores the network": lambda: network(
            likelihood=lambda out: pm.Normal.dist(0.0, 1.0)
        ),
        "a likelihood with a random parameter": lambda: network(
            likelihood=lambda out: pm.Normal.dist(pm.Normal.dist(out[..., 0]), 1.0)
        ),
        "more outputs than there are": lambda: network(
            likelihood=lambda out: pm.Normal.dist(out[..., 0], out[..., 1])
        ),
        "the first row for all": lambda: network(
            likelihood=lambda out: pm.Normal.dist(out[0], 1.0)
        ),
        "an output that would broadcast": lambda: network(
            likelihood=lambda out: pm.Normal.dist(out, 1.0)
        ),
        "another number of rows": lambda: network(observed=np.zeros(4)),
    },
)
add(
    "JaxDist and jax_function",
    {
        "no function": lambda: own(3.0),
        "a result that is no number": lambda: own(
            lambda y, m: -((y - m) ** 2), np.ones(3), signature="(n)->(n)"
        ),
        "NumPy on JAX arrays": lambda: own(lambda y, m: np.log(y - m), 1.0),
        "a condition on a value": lambda: own(lambda y, m: y if m > 0 else -y, 1.0),
        "a function that fails": lambda: own(lambda y, m: y["a"], 1.0),
        "a gradient that is NaN": nan_gradient,
        "a variable of the model from outside": refers_to_a_variable,
        "an unknown policy for missing values": lambda: own(walk, 1.0, missing="drop"),
        "missing values": lambda: pmj.JaxDist("y", walk, 1.0, observed=[1.0, np.nan]),
        "no signature": lambda: own(walk, np.ones(2), signature="n->()"),
        "another number of parameters": lambda: own(walk, 1.0, signature="(),()->()"),
        "too few dimensions": lambda: own(walk, 1.0, signature="(n)->()"),
        "two lengths of one dimension": lambda: own(
            lambda y, a, b: a @ b, np.ones(3), np.ones(2), signature="(n),(n)->()"
        ),
        "a length nobody tells": lambda: own(walk, 0.0, signature="()->(t)"),
        "random that takes neither key nor rng": lambda: own(walk, 1.0, random=lambda a: a),
        "random of another shape": lambda: pm.draw(
            own(walk, 1.0, shape=3, random=lambda m, rng, size: np.zeros(2))
        ),
        "random that fails": lambda: pm.draw(
            own(walk, 1.0, shape=3, random=lambda key, m: key["a"])
        ),
        "draws without random": lambda: pm.draw(own(walk, 1.0, shape=3)),
        "jax_function of a number": lambda: pmj.jax_function(3),
        "derivatives in another way": lambda: pmj.jax_function(abs, derivatives="backward"),
    },
)
add(
    "After sampling",
    {
        "an unknown kind of states": lambda: pmj.decode_states(
            DRAWS, "y", "guessed", model=hidden()
        ),
        "a variable that is not there": lambda: pmj.decode_states(DRAWS, "z", model=hidden()),
        "draws that are missing": lambda: pmj.decode_states(posterior(), "y", model=hidden()),
        "no steps": lambda: pmj.forecast(DRAWS, "y", 0, model=hidden()),
        "data by an unknown name": lambda: pmj.decode_states(
            DRAWS, "y", model=hidden_with_covariate(), data={"z": np.zeros(4)}
        ),
        "data of other dimensions": lambda: pmj.decode_states(
            DRAWS, "y", model=hidden_with_covariate(), data={"x": np.zeros((4, 2))}
        ),
        "covariates for other times": lambda: pmj.decode_states(
            DRAWS, "y", model=hidden_with_covariate(), data={"x": np.zeros(5)}
        ),
        "decoding a Minibatch": lambda: pmj.decode_states(
            DRAWS,
            "y",
            model=hidden(observed=pm.Minibatch(np.zeros((9, 4)), batch_size=3), total_size=9),
        ),
        "imputing an autoregression that is not normal": lambda: pmj.impute(
            DRAWS,
            "y",
            model=hidden(
                emission=pmj.AutoRegressive(pm.StudentT.dist(4.0, mu=[0.0, 1.0]), [0.5]),
                observed=np.array([0.0, np.nan, 0.0, 0.0]),
            ),
        ),
        "residuals without a distribution function": lambda: pmj.pseudo_residuals(
            DRAWS,
            "y",
            model=hidden(
                emission=pm.MvNormal.dist(np.zeros((2, 2)), np.eye(2)), observed=np.zeros((4, 2))
            ),
        ),
        "initial values of impossible observations": lambda: pmj.initial_values(
            "y",
            model=hidden(emission=pm.Exponential.dist([1.0, 2.0]), observed=-np.arange(1.0, 5.0)),
        ),
        "initial values of an equation that fits nowhere": lambda: pmj.initial_values(
            "y", model=impossible_decay_model()
        ),
        "a group of PyMC's": lambda: pmj.add_group(DRAWS, "posterior", xr.DataArray(0.0, name="a")),
        "sorting by what is not there": lambda: pmj.relabel_states(DRAWS, "sigma"),
        "sorting by what has more dimensions": lambda: pmj.relabel_states(
            posterior(P=np.zeros((1, 1, 2, 2))), "P"
        ),
        "dimensions that do not count states": lambda: pmj.relabel_states(
            DRAWS, "mu", dims=["elsewhere"]
        ),
        "checking a model without equations": lambda: pmj.check_ode(hidden()),
        "failures of a model without equations": lambda: pmj.failed_solves(model=hidden()),
        "predicting what is no equation and no network": lambda: pmj.predict(
            DRAWS, "y", times=[1.0], model=hidden()
        ),
        "covariates for an equation": lambda: pmj.predict(
            posterior(rate=[[1.0]]), "y", X=X, model=decay_model()
        ),
        "covariates of another width": lambda: pmj.predict(
            posterior(**{"net.kernel": np.ones((1, 1, 2, 1))}),
            "y",
            X=np.zeros((2, 3)),
            model=network_model(),
        ),
        "a start without the names of the states": lambda: pmj.predict(
            posterior(rate=[[1.0]]), "y", times=[1.0], y0=[1.0], model=decay_model(named=True)
        ),
        "a start with another name": lambda: pmj.predict(
            posterior(rate=[[1.0]]), "y", times=[1.0], y0={"z": 1.0}, model=decay_model(named=True)
        ),
        "parameters of another structure": lambda: pmj.predict(
            posterior(rate=[[1.0]]), "y", times=[1.0], params=[1.0], model=decay_model()
        ),
        "new subjects without draws": lambda: pmj.predict(
            posterior(), "y", times=[1.0], y0=[2.0], model=decay_model()
        ),
        "other times for a likelihood that has its own": lambda: pmj.predict(
            posterior(rate=[[1.0]], scale=[[[1.0, 1.0]]]),
            "y",
            times=[1.0, 2.0, 3.0],
            model=with_times_of_its_own(),
        ),
        "parameters of other subjects, and no others": parameters_alone,
        "names for fewer states": lambda: plotted(["one"]),
        "fewer data than subjects": lambda: drawn(observed=np.zeros((2, 5))),
        "more subjects than can be drawn": lambda: drawn(n_subjects=100),
    },
)
add(
    "While computing",
    {
        "data exchanged for longer ones": data_of_other_lengths,
        "JAX set to single precision": single_precision_in_jax,
        "a process forked while JAX is running": forked_process,
    },
)


def with_times_of_its_own() -> pm.Model:
    with pm.Model() as model:
        rate = pm.HalfNormal("rate")
        scale = pm.HalfNormal("scale", shape=2)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: -p * y,
            params=rate,
            y0=[1.0],
            times=[1.0, 2.0],
            likelihood=lambda y: pm.Normal.dist(y[..., 0], 1.0 + 0 * np.arange(2.0) * scale),
            observed=[0.5, 0.1],
        )
    return model


def page(complaint_of: Callable[[Mistake], Exception | None] = complaint) -> str:
    """Return the page of the documentation."""
    lines = [
        "# Error messages",
        "",
        "Every message says where, what is wrong, what was found, what was expected, and what to",
        "write instead. All are subclasses of `pymc_jaxdist.errors.JaxDistError`, and of the",
        "built-in error they are a kind of: `ShapeError`, `ParameterError` and `DataError` of",
        "`ValueError`, `DistributionError` and `FunctionError` of `TypeError`, `SizeError` of",
        "`MemoryError`. Each is shown with one thing that raises it. This page is generated from",
        "`tests/error_catalogue.py`; do not edit it.",
        "",
        "During sampling nothing is raised because of the value of a parameter: what is impossible",
        "has log-density minus infinity, and `impossible_evaluations()` counts it.",
        "",
        "`ConnectionResetError`, `EOFError` or `ParallelSamplingError` from `pm.sample` mean that",
        "a process with a chain has ended: most often because the system had no memory left.",
        "",
    ]
    chapter = ""
    for mistake in CATALOGUE.values():
        if mistake.chapter != chapter:
            chapter = mistake.chapter
            lines += [f"## {chapter}", ""]
        error = complaint_of(mistake)
        assert error is not None, mistake
        text = re.sub(r"0x[0-9a-f]+", "0x...", own_text(error))
        text = re.sub(r"[\d,.]+ GB that are available", "... GB that are available", text)
        lines += [f"**{mistake.text}** ({type(error).__name__})", "", "```text"]
        lines += [line.rstrip() for line in text.splitlines()]
        lines += ["```", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{len(CATALOGUE)} mistakes")
