"""The models of ``sampling.py``, and the ways to sample each.

Every way is a function that imports what it needs and returns another, which builds the model and
samples it: imports are not timed. All have the same data, priors and first values. Their
unconstrained parameters are what each package makes of an ordered vector and of a simplex.
"""

import json
import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Draws = dict[str, np.ndarray]  # of each parameter: chains × draws × its own shape
Sample = Callable[[int, int], Draws]  # from draws and tuning steps of each chain

CHAINS = 2
SEED = 20261122
COUNTS = Path(__file__).parent.parent / "pymc_jaxdist" / "data" / "earthquakes.json"
MODELS = ("notebook", "earthquakes", "ten states")
LEVELS = np.linspace(-9.0, 9.0, 10)  # of the ten states


def simulated(
    shape: tuple[int, int], start: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(7)
    states = np.empty(shape, dtype=int)
    for sequence in states:
        sequence[0] = rng.choice(len(start), p=start)
        for t in range(1, shape[1]):
            sequence[t] = rng.choice(len(start), p=matrix[sequence[t - 1]])
    return states, rng


def data(model: str) -> np.ndarray:
    """Return the observations: sequences × times."""
    if model == "earthquakes":
        return np.array([json.loads(COUNTS.read_text())["data"]["count"]])
    if model == "notebook":
        matrix = np.array([[0.9, 0.09, 0.01], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
        states, rng = simulated((70, 51), np.array([0.9, 0.09, 0.01]), matrix)
        return rng.normal(1.15 * (states + 1), 0.15)
    matrix = 0.8 * np.eye(10) + 0.02
    states, rng = simulated((200, 200), np.full(10, 0.1), matrix)
    return rng.normal(LEVELS[states], 0.7)


def first_values(model: str) -> dict[str, np.ndarray]:
    states = 10 if model == "ten states" else 3
    chain = {
        "initial": np.full(states, 1 / states),
        "transitions": np.full((states, states), 1 / states),
    }
    if model == "notebook":
        return {"signal": np.array(1.0), "noise": np.array(0.3), **chain}
    if model == "earthquakes":
        return {
            "log_rates": np.log([10.0, 20.0, 40.0]),
            "transitions": chain["transitions"],
        }
    return {"mu": LEVELS, "sigma": np.ones(10), **chain}


# In PyMC -----------------------------------------------------------------------------------------


def pymc_priors(model: str) -> tuple[tuple, Any, Any]:
    """Return the parameters of the emission, the transition matrix and the initial probabilities.

    None stands for the stationary distribution.
    """
    import pymc as pm
    from pymc.distributions.transforms import ordered

    if model == "earthquakes":
        log_rates = pm.Normal("log_rates", np.log([10.0, 20.0, 40.0]), 0.5, transform=ordered)
        matrix = pm.Dirichlet("transitions", np.ones((3, 3)) + 4 * np.eye(3))
        return (pm.math.exp(log_rates),), matrix, None
    if model == "notebook":
        signal, noise = pm.HalfNormal("signal", 2.0), pm.HalfNormal("noise", 1.0)
        parameters, states = (np.arange(1, 4) * signal, noise), 3
    else:
        mu = pm.Normal("mu", LEVELS, 1.0, transform=ordered)
        parameters, states = (mu, pm.HalfNormal("sigma", 1.0, shape=10)), 10
    start = pm.Dirichlet("initial", np.ones(states))
    return parameters, pm.Dirichlet("transitions", np.ones((states, states))), start


def stationary(matrix: Any, xp: Any) -> Any:
    ones = np.ones(3)
    return xp.linalg.solve((np.eye(3) - matrix + np.ones((3, 3))).T, ones)


def in_pymc(likelihood: Callable[[], Callable], model: str, **how: Any) -> Sample:
    """Let ``pm.sample`` sample a model, whose likelihood is made by one of the functions below."""
    import pymc as pm

    add, sampler = likelihood(), how.setdefault("nuts_sampler", "pymc")
    if sampler == "nutpie":
        import nutpie  # noqa: F401

        how["compile_kwargs"] = {"jitter_rvs": set()}
    elif sampler == "numpyro":
        import numpyro  # noqa: F401

        how["nuts"] = {"chain_method": "sequential", "jitter": False}
    else:
        how["init"] = "adapt_diag"
    logging.getLogger("pymc").setLevel(logging.ERROR)
    y = data(model)

    def sample(draws: int, tune: int) -> Draws:
        with pm.Model() as built:
            parameters, matrix, start = pymc_priors(model)
            sampled = add(built, y, parameters, matrix, start)
        with sampled:
            found = pm.sample(
                draws,
                tune=tune,
                chains=CHAINS,
                cores=1,
                random_seed=SEED,
                initvals=first_values(model),
                progressbar=False,
                compute_convergence_checks=False,
                **how,
            )
        return {name: found["posterior"][name].values for name in first_values(model)}

    return sample


def emission_of(parameters: tuple) -> Any:
    import pymc as pm

    return pm.Normal if len(parameters) == 2 else pm.Poisson


def ours() -> Callable:
    import pymc_jaxdist as pmj

    def add(built: Any, y: np.ndarray, parameters: tuple, matrix: Any, start: Any) -> Any:
        emission = emission_of(parameters).dist(*parameters)
        pmj.MarginalHMM("y", emission, matrix, "stationary" if start is None else start, observed=y)
        return built

    return add


def pymc_extras() -> Callable:
    import pymc as pm
    import pytensor.tensor as pt
    from pymc_extras import marginalize
    from pymc_extras.distributions import DiscreteMarkovChain

    def add(built: Any, y: np.ndarray, parameters: tuple, matrix: Any, start: Any) -> Any:
        start = stationary(matrix, pt) if start is None else start
        first = pm.Categorical.dist(p=start)
        states = DiscreteMarkovChain("states", P=matrix, init_dist=first, shape=y.shape)
        own = (p[states] if p.ndim else p for p in parameters)
        emission_of(parameters)("y", *own, observed=y)
        return marginalize(built, ["states"])

    return add


def nothing() -> Callable:
    return lambda built, *_: built


def two_ops() -> Callable:
    """Do as PyMC's notebook on JAX functions does: an Op for the value, one for its VJP."""
    import jax
    import jax.numpy as jnp
    import pymc as pm
    import pytensor.tensor as pt
    from pytensor.graph import Apply, Op

    jax.config.update("jax_enable_x64", True)
    warnings.filterwarnings("ignore", message="Numba will use object mode")

    def add(built: Any, y: np.ndarray, parameters: tuple, matrix: Any, start: Any) -> Any:
        inputs = [*parameters, matrix, stationary(matrix, pt) if start is None else start]
        series = jnp.asarray(y)

        def log_likelihood(*x: jax.Array) -> jax.Array:
            return forward(series, x[:-2], x[-2], x[-1])

        value = jax.jit(log_likelihood)
        pulled_back = jax.jit(lambda g, *x: jax.vjp(log_likelihood, *x)[1](g))

        class Vjp(Op):
            def make_node(self, *x):
                return Apply(self, x, [one.type() for one in x[1:]])

            def perform(self, node, x, outputs):
                for output, gradient in zip(outputs, pulled_back(*x), strict=True):
                    output[0] = np.asarray(gradient, dtype="float64")

        class Value(Op):
            def make_node(self, *x):
                return Apply(self, [pt.as_tensor(one) for one in x], [pt.dscalar()])

            def perform(self, node, x, outputs):
                outputs[0][0] = np.asarray(value(*x), dtype="float64")

            def pullback(self, x, outputs, cotangents):
                return Vjp()(cotangents[0], *x, return_list=True)

        with built:
            pm.Potential("y", Value()(*inputs))
        return built

    return add


def forward(y: Any, parameters: tuple, matrix: Any, start: Any) -> Any:
    """Compute the log-likelihood in JAX by the forward algorithm, as one writes it by hand."""
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp
    from jax.scipy.stats import norm, poisson

    log_density = norm.logpdf if len(parameters) == 2 else poisson.logpmf
    evidence = log_density(y[..., None], *parameters)
    log_matrix = jnp.log(matrix)

    def one(evidence: jax.Array) -> jax.Array:
        def step(log_alpha: jax.Array, emitted: jax.Array) -> tuple[jax.Array, None]:
            return logsumexp(log_alpha[:, None] + log_matrix, axis=0) + emitted, None

        return logsumexp(jax.lax.scan(step, jnp.log(start) + evidence[0], evidence[1:])[0])

    return jax.vmap(one)(evidence).sum()


# In NumPyro --------------------------------------------------------------------------------------


def in_numpyro(model: str, enumerated: bool) -> Sample:
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.contrib.control_flow import scan
    from numpyro.infer import MCMC, NUTS, init_to_value

    if enumerated:
        import funsor  # noqa: F401
    jax.config.update("jax_enable_x64", True)
    y = jnp.asarray(data(model))
    n, states = len(y), len(first_values(model)["transitions"])
    emission = dist.Poisson if model == "earthquakes" else dist.Normal

    def in_order(name: str, prior: Any) -> jax.Array:
        flat = dist.ImproperUniform(dist.constraints.ordered_vector, (), (states,))
        x = numpyro.sample(name, flat)
        numpyro.factor(f"prior of {name}", prior.log_prob(x).sum())
        return x

    def priors() -> tuple[tuple, jax.Array, jax.Array]:
        ones = jnp.ones((states, states))
        more = 4 * jnp.eye(states) if model == "earthquakes" else 0.0
        matrix = numpyro.sample("transitions", dist.Dirichlet(ones + more).to_event(1))
        if model == "earthquakes":
            log_rates = in_order("log_rates", dist.Normal(jnp.log(jnp.array([10, 20, 40.0])), 0.5))
            return (jnp.exp(log_rates),), matrix, stationary(matrix, jnp)
        start = numpyro.sample("initial", dist.Dirichlet(jnp.ones(states)))
        if model == "notebook":
            signal = numpyro.sample("signal", dist.HalfNormal(2.0))
            noise = numpyro.sample("noise", dist.HalfNormal(1.0)) * jnp.ones(states)
            return (jnp.arange(1, 4) * signal, noise), matrix, start
        mu = in_order("mu", dist.Normal(LEVELS, 1.0))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0).expand([10]).to_event(1))
        return (mu, sigma), matrix, start

    def by_hand() -> None:
        numpyro.factor("y", forward(y, *priors()))

    def summed_out() -> None:
        parameters, matrix, start = priors()

        def emit(name: str, state: jax.Array, observed: jax.Array) -> None:
            numpyro.sample(name, emission(*(p[state] for p in parameters)), obs=observed)

        with numpyro.plate("sequences", n):
            state = numpyro.sample(
                "first state", dist.Categorical(start), infer={"enumerate": "parallel"}
            )
            emit("first y", state, y[:, 0])

        def step(state: jax.Array, observed: jax.Array) -> tuple[jax.Array, None]:
            with numpyro.plate("sequences", n):
                state = numpyro.sample(
                    "state", dist.Categorical(matrix[state]), infer={"enumerate": "parallel"}
                )
                emit("y", state, observed)
            return state, None

        scan(step, state, y[:, 1:].T)

    def sample(draws: int, tune: int) -> Draws:
        first = init_to_value(values=jax.tree.map(jnp.asarray, first_values(model)))
        nuts = NUTS(
            summed_out if enumerated else by_hand, init_strategy=first, target_accept_prob=0.8
        )
        mcmc = MCMC(
            nuts,
            num_warmup=tune,
            num_samples=draws,
            num_chains=CHAINS,
            chain_method="sequential",
            progress_bar=False,
        )
        mcmc.run(jax.random.PRNGKey(SEED))
        found = mcmc.get_samples(group_by_chain=True)
        return {name: np.asarray(found[name]) for name in first_values(model)}

    return sample


# In Stan -----------------------------------------------------------------------------------------

STAN = """
data {{ int N; int T; int K; array[N, T] {number} y; vector[K] levels; }}
parameters {{ {parameters} array[K] simplex[K] transitions; }}
model {{
  matrix[K, K] P;
  for (k in 1:K) {{ P[k] = transitions[k]'; transitions[k] ~ dirichlet({concentration}); }}
  {priors}
  for (n in 1:N) {{
    matrix[K, T] evidence;
    for (t in 1:T) for (k in 1:K) evidence[k, t] = {emission};
    target += hmm_marginal(evidence, P, {start});
  }}
}}
"""
STAN_PARTS = {
    "notebook": {
        "number": "real",
        "parameters": "real<lower=0> signal; real<lower=0> noise; simplex[K] initial;",
        "concentration": "rep_vector(1, K)",
        "priors": "signal ~ normal(0, 2); noise ~ normal(0, 1);",
        "emission": "normal_lpdf(y[n, t] | k * signal, noise)",
        "start": "initial",
    },
    "earthquakes": {
        "number": "int",
        "parameters": "ordered[K] log_rates;",
        "concentration": "rep_vector(1, K) + 4 * one_hot_vector(K, k)",
        "priors": "log_rates ~ normal(levels, 0.5);",
        "emission": "poisson_log_lpmf(y[n, t] | log_rates[k])",
        "start": "(identity_matrix(K) - P + rep_matrix(1, K, K))' \\ rep_vector(1, K)",
    },
    "ten states": {
        "number": "real",
        "parameters": "ordered[K] mu; vector<lower=0>[K] sigma; simplex[K] initial;",
        "concentration": "rep_vector(1, K)",
        "priors": "mu ~ normal(levels, 1); sigma ~ normal(0, 1);",
        "emission": "normal_lpdf(y[n, t] | mu[k], sigma[k])",
        "start": "initial",
    },
}


def in_stan(model: str) -> Sample:
    import stan
    from httpstan.services_stub import executor

    y, values = data(model), first_values(model)
    levels = np.log([10.0, 20.0, 40.0]) if model == "earthquakes" else LEVELS
    states = len(values["transitions"])
    given = {
        **dict(zip("NTK", (*y.shape, states), strict=True)),
        "y": y.tolist(),
        "levels": levels[:states].tolist(),
    }
    first = {name: value.tolist() for name, value in values.items()}

    def sample(draws: int, tune: int) -> Draws:
        built = stan.build(STAN.format(**STAN_PARTS[model]), data=given, random_seed=SEED)
        fit = built.sample(
            num_chains=CHAINS, num_samples=draws, num_warmup=tune, init=[first] * CHAINS
        )
        # What its processes have computed is counted when they have ended.
        executor.shutdown()
        # Chains take turns.
        return {
            name: np.moveaxis(fit[name], -1, 0)
            .reshape((draws, CHAINS, *value.shape))
            .swapaxes(0, 1)
            for name, value in values.items()
        }

    return sample


WAYS: dict[str, Callable[[str], Sample]] = {
    "priors alone, pymc": partial(in_pymc, nothing, backend="numba"),
    "priors alone, pymc in C": partial(in_pymc, nothing, backend="c"),
    "priors alone, numpyro": partial(in_pymc, nothing, nuts_sampler="numpyro"),
    "ours, pymc": partial(in_pymc, ours, backend="numba"),
    "ours, pymc in C": partial(in_pymc, ours, backend="c"),
    "ours, nutpie": partial(in_pymc, ours, nuts_sampler="nutpie"),
    "ours, numpyro": partial(in_pymc, ours, nuts_sampler="numpyro"),
    "pymc-extras, pymc": partial(in_pymc, pymc_extras, backend="numba"),
    "pymc-extras, pymc in C": partial(in_pymc, pymc_extras, backend="c"),
    "pymc-extras, nutpie": partial(in_pymc, pymc_extras, nuts_sampler="nutpie"),
    "pymc-extras, numpyro": partial(in_pymc, pymc_extras, nuts_sampler="numpyro"),
    "two Ops, pymc": partial(in_pymc, two_ops, backend="numba"),
    "NumPyro, enumeration": partial(in_numpyro, enumerated=True),
    "NumPyro, by hand": partial(in_numpyro, enumerated=False),
    "Stan": in_stan,
}
