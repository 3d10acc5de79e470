"""One small model of every public distribution and of every variant that has code of its own.

What a distribution promises (tests/contract) is asked of each entry. A new public distribution
fails `test_registry_is_complete.py` until it has one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt

import pymc_jaxdist as pmj

__all__ = ["ENTRIES", "KERNELS", "NO_DISTRIBUTIONS", "PARTS", "Entry", "Parameter"]

N_TIMES = 4
#: Public names that are no distributions: they have tests of their own.
NO_DISTRIBUTIONS = {
    "add_group",
    "check_ode",
    "decode_states",
    "describe",
    "failed_solves",
    "forecast",
    "impossible_evaluations",
    "impute",
    "initial_values",
    "jax_function",
    "ode_solution",
    "one_step_log_predictive",
    "pad_observations",
    "pairwise_probs",
    "posterior_pytree",
    "predict",
    "product_chain",
    "pseudo_residuals",
    "relabel_states",
    "state_occupancy",
    "sticky_dirichlet",
    "transition_counts",
    "transition_from_logits",
    "transition_from_rates",
}


class Parameter(NamedTuple):
    """A parameter: a value that all units share, and what other values it may have.

    Attributes
    ----------
    value : ndarray
    kind : str
        ``"real"``, ``"positive"`` or ``"simplex"`` (along the last axis).
    lift : int or None
        How many axes of length 1 stand between the axis of units and the own ones. None: the
        parameter cannot differ between units.
    """

    value: np.ndarray
    kind: str = "real"
    lift: int | None = 0

    def of_units(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return values that differ between units."""
        noise = rng.normal(scale=0.1, size=(n, *self.value.shape))
        values = self.value + noise if self.kind == "real" else self.value * np.exp(noise)
        if self.kind == "simplex":
            values /= values.sum(axis=-1, keepdims=True)
        return values.reshape(n, *(1,) * (self.lift or 0), *self.value.shape)

    @property
    def outside(self) -> dict[str, np.ndarray]:
        """Values outside the domain, by what is wrong with them."""
        if self.kind == "positive":
            return {"negative": -self.value}
        if self.kind == "simplex":
            return {"does not sum to 1": 1.1 * self.value, "negative": 2 * self.value - 1.0}
        return {}


class Entry(NamedTuple):
    """A model of a distribution.

    Attributes
    ----------
    covers : tuple of str
        The public names it uses.
    parameters : dict of str to Parameter
    unit_shape : tuple of int
        Shape of one unit of the value.
    define : callable
        ``(name, parameters, **shape or observed)`` in a model context, to the random variable;
        or for a function that is no distribution ``(value, parameters)`` to the log-density.
    moved : str
        The parameter whose draws the joint test follows: it may differ between units.
    prior_sd : float
        Standard deviation of its prior there.
    conditioned : int
        How many of the first observations the density does not describe.
    """

    covers: tuple[str, ...]
    parameters: dict[str, Parameter]
    unit_shape: tuple[int, ...]
    define: Callable[..., Any]
    moved: str = "mu"
    prior_sd: float = 0.5
    conditioned: int = 0

    @property
    def is_distribution(self) -> bool:
        """Whether it makes a random variable."""
        return self.covers != ("hmm_logp",)


MATRIX = np.array([[0.8, 0.2], [0.3, 0.7]])
START = np.array([0.4, 0.6])
CHAIN = {
    "matrix": Parameter(MATRIX, "simplex", 1),
    "start": Parameter(START, "simplex"),
}
NORMAL = {
    "mu": Parameter(np.array([0.0, 1.5]), "real", 1),
    "sigma": Parameter(np.array([0.7, 1.2]), "positive", 1),
}


def markov(name: str, p: dict, **kwargs: Any) -> Any:
    emission = pm.Normal.dist(p["mu"], p["sigma"])
    return pmj.MarginalHMM(name, emission, p["matrix"], p["start"], **kwargs)


def markov_of_two_channels(name: str, p: dict, **kwargs: Any) -> Any:
    """With the stationary distribution for its start."""
    emission = (pm.Normal.dist(p["mu"], p["sigma"]), pm.Poisson.dist(p["rates"]))
    return pmj.MarginalHMM(name, emission, p["matrix"], **kwargs)


def autoregressive(name: str, p: dict, **kwargs: Any) -> Any:
    emission = pmj.AutoRegressive(pm.Normal.dist(p["mu"], p["sigma"]), p["phi"])
    return pmj.MarginalHMM(name, emission, p["matrix"], p["start"], **kwargs)


def autoregressive_around_means(name: str, p: dict, **kwargs: Any) -> Any:
    emission = pmj.AutoRegressive(pm.Normal.dist(0.0, p["sigma"]), p["phi"], mean=p["mu"])
    return pmj.MarginalHMM(name, emission, p["matrix"], p["start"], **kwargs)


def markov_of_order_two(name: str, p: dict, **kwargs: Any) -> Any:
    emission = pm.Normal.dist(p["mu"], p["sigma"])
    start = pt.stack([0.5 * p["start"], 0.5 * p["start"]], axis=-2)
    return pmj.MarginalHMM(name, emission, p["tensor"], start, order=2, **kwargs)


def semi_markov(name: str, p: dict, **kwargs: Any) -> Any:
    return pmj.MarginalHSMM(
        name,
        pm.Normal.dist(p["mu"], p["sigma"]),
        [[0.0, 1.0], [1.0, 0.0]],
        pm.Poisson.dist(p["further"]),
        p["start"],
        **kwargs,
    )


def growth(t: Any, y: Any, p: Any) -> Any:
    return p * y * (1 - y / 5.0)


def equation(name: str, p: dict, **kwargs: Any) -> Any:
    return pmj.ODEObserved(
        name,
        growth,
        params=p["rate"],
        y0=p["y0"],
        t0=p["t0"],
        times=p["times"],
        observe=0,
        likelihood=lambda y: pm.Normal.dist(y, p["sigma"]),
        solver="tsit5",
        rtol=1e-10,  # so that differences of adaptive solutions are those of the solution
        **kwargs,
    )


def decay_matrix(p: Any) -> Any:
    return jnp.array([[-p, 0.0], [p, -0.1]])


def linear_equation(name: str, p: dict, **kwargs: Any) -> Any:
    return pmj.ODEObserved(
        name,
        pmj.LinearODE(decay_matrix),
        params=p["rate"],
        y0=p["y0"],
        times=np.arange(1.0, N_TIMES + 1),
        observe=1,
        likelihood=lambda y: pm.Normal.dist(y, p["sigma"]),
        **kwargs,
    )


def perceptron(weights: Any, x: Any) -> Any:
    return jnp.tanh(x @ weights["hidden"]) @ weights["head"]


def network(name: str, p: dict, **kwargs: Any) -> Any:
    if "observed" not in kwargs:
        kwargs.pop("shape", None)  # the rows of X are those of the observations
    return pmj.NeuralNetObserved(
        name,
        perceptron,
        {"hidden": p["hidden"], "head": p["head"]},
        p["x"],
        likelihood=lambda out: pm.Normal.dist(out[..., 0] + p["mu"], p["sigma"]),
        **kwargs,
    )


def random_walk(y: Any, drift: Any, sigma: Any) -> Any:
    residuals = (jnp.diff(y, prepend=0.0) - drift) / sigma
    return -(0.5 * residuals**2 + jnp.log(sigma)).sum()


def draw_walk(key: Any, drift: Any, sigma: Any) -> Any:
    return jnp.cumsum(drift + sigma * jax.random.normal(key, N_TIMES))


def own_density(name: str, p: dict, **kwargs: Any) -> Any:
    return pmj.JaxDist(
        name,
        random_walk,
        p["drift"],
        p["sigma"],
        signature="(),()->(t)",
        random=draw_walk,
        **kwargs,
    )


def raw_terms(value: Any, p: dict) -> Any:
    return pmj.hmm_logp(value, p["start"], p["matrix"])


SCALE = Parameter(np.array(0.5), "positive", 0)

#: One entry per kernel; the others differ only in what they pass to it. What costs a compilation of
#: its own is asked of these first, of the others in slow tests or by `make scoreboard`.
KERNELS = ("MarginalHMM", "MarginalHSMM", "ODEObserved", "NeuralNetObserved", "JaxDist", "hmm_logp")

ENTRIES = {
    "MarginalHMM": Entry(("MarginalHMM",), {**NORMAL, **CHAIN}, (N_TIMES,), markov),
    "MarginalHMM, two channels": Entry(
        ("MarginalHMM",),
        {
            **NORMAL,
            "rates": Parameter(np.array([1.0, 4.0]), "positive", 1),
            "matrix": CHAIN["matrix"],
        },
        (N_TIMES, 2),
        markov_of_two_channels,
    ),
    "MarginalHMM, AutoRegressive": Entry(
        ("MarginalHMM", "AutoRegressive"),
        {**NORMAL, "phi": Parameter(np.array([[0.5], [-0.3]]), "real", 1), **CHAIN},
        (N_TIMES,),
        autoregressive,
        conditioned=1,
    ),
    "MarginalHMM, AutoRegressive with means": Entry(
        ("MarginalHMM", "AutoRegressive"),
        {**NORMAL, "phi": Parameter(np.array([[0.5], [-0.3]]), "real", 1), **CHAIN},
        (N_TIMES,),
        autoregressive_around_means,
        conditioned=1,
    ),
    "MarginalHMM, order 2": Entry(
        ("MarginalHMM",),
        {
            **NORMAL,
            "tensor": Parameter(np.stack([MATRIX, MATRIX[::-1]]), "simplex", 1),
            "start": CHAIN["start"],
        },
        (N_TIMES,),
        markov_of_order_two,
    ),
    "MarginalHSMM": Entry(
        ("MarginalHSMM",),
        {
            **NORMAL,
            "further": Parameter(np.array([0.5, 2.0]), "positive", 1),
            "start": CHAIN["start"],
        },
        (N_TIMES,),
        semi_markov,
    ),
    "ODEObserved": Entry(
        ("ODEObserved",),
        {
            "rate": Parameter(np.array(0.8)),
            "y0": Parameter(np.array([0.5])),
            "t0": Parameter(np.array(-0.3)),
            "times": Parameter(np.arange(1.0, N_TIMES + 1)),
            "sigma": SCALE._replace(lift=1),
        },
        (N_TIMES,),
        equation,
        moved="rate",
        prior_sd=0.2,
    ),
    "ODEObserved, LinearODE": Entry(
        ("ODEObserved", "LinearODE"),
        {
            "rate": Parameter(np.array(0.8)),
            "y0": Parameter(np.array([3.0, 0.5])),
            "sigma": SCALE._replace(lift=1),
        },
        (N_TIMES,),
        linear_equation,
        moved="rate",
    ),
    "NeuralNetObserved": Entry(
        ("NeuralNetObserved",),
        {
            "x": Parameter(np.array([0.3, -0.6])),
            "hidden": Parameter(np.array([[0.5, -1.0, 0.8], [0.3, 0.7, -0.4]]), "real", None),
            "head": Parameter(np.array([[1.0], [-0.5], [0.7]]), "real", None),
            "mu": Parameter(np.array(0.2)),
            "sigma": SCALE,
        },
        (),
        network,
    ),
    "JaxDist": Entry(
        ("JaxDist",),
        {"drift": Parameter(np.array(0.4)), "sigma": SCALE},
        (N_TIMES,),
        own_density,
        moved="drift",
    ),
    "hmm_logp": Entry(  # probabilities need not sum to one here
        ("hmm_logp",),
        {label: parameter._replace(kind="positive") for label, parameter in CHAIN.items()},
        (N_TIMES, 2),
        raw_terms,
    ),
}

#: Public names that are part of a distribution's arguments, with the test file that covers those
#: which no entry uses.
PARTS = {
    "RK4": "tests/distributions/test_ode.py",
    "Doses": "tests/distributions/test_ode.py",
    "Jumps": "tests/distributions/test_ode.py",
    "interpolated": "tests/distributions/test_ode.py",
    "FanIn": "tests/distributions/test_network_bad_input.py",
    "Frozen": "tests/distributions/test_network_bad_input.py",
    "nn_priors": "tests/distributions/test_neural_net_observed.py",
}
