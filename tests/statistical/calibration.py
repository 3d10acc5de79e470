"""Simulation-based calibration: ranks of true parameters among posterior draws are uniform.

Parameters are drawn from the prior and data given them; then the posterior given the data is
sampled, for all simulations side by side: the log-density of the PyMC model becomes a JAX function
of parameters and data, and NumPyro's NUTS is mapped over the data.

References
----------
Talts, S., Betancourt, M., Simpson, D., Vehtari, A., & Gelman, A. (2018). Validating Bayesian
inference algorithms with simulation-based calibration. arXiv:1804.06788.
Modrák, M., et al. (2023). Simulation-based calibration checking for Bayesian computation: the
choice of test quantities shapes sensitivity. Bayesian Analysis.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpyro.infer import NUTS
from pymc.sampling.jax import get_jaxified_graph
from scipy import stats

import pymc_jaxdist as pmj
from tests.distributions.compiled import FAST

__all__ = ["MODELS", "SIMULATIONS", "calibration", "uniformity"]


def poisson_hmm():
    """Counts of two regimes; every parameter is a Normal variable."""
    with pm.Model() as model:
        log_rates = pm.Normal("log_rates", [0.7, 2.3], 0.4)
        stay = pt.sigmoid(pm.Normal("stay", [1.5, 1.0], 0.7))
        matrix = pt.stack([pt.stack([stay[0], 1 - stay[0]]), pt.stack([1 - stay[1], stay[1]])])
        emission = pm.Poisson.dist(pt.exp(log_rates))
        pmj.MarginalHMM("y", emission, matrix, "uniform", shape=30)
    return model


def lotka_volterra():
    """Hares and lynxes observed with proportional errors."""

    def field(t, y, p):
        return jnp.stack([y[0] * (p[0] - p[1] * y[1]), y[1] * (p[2] * y[0] - p[3])])

    with pm.Model() as model:
        log_rates = pm.Normal("log_rates", np.log([0.55, 0.028, 0.024, 0.8]), 0.1)
        log_start = pm.Normal("log_start", np.log([30.0, 4.0]), 0.2)
        log_sigma = pm.Normal("log_sigma", np.log(0.25), 0.2)
        pmj.ODEObserved(
            "y",
            field,
            params=pt.exp(log_rates),
            y0=pt.exp(log_start),
            times=np.arange(1.0, 13.0),
            likelihood=lambda y: pm.Normal.dist(pt.log(y), pt.exp(log_sigma)),
            solver="tsit5",
            shape=(12, 2),
        )
    return model


def small_network():
    """Two hidden units, whose priors tell them apart."""
    x = np.linspace(-2.0, 2.0, 20)[:, None]

    def net(weights, x):
        hidden = jnp.tanh(x @ weights["kernel"] + weights["bias"])
        return hidden @ weights["head"]

    with pm.Model() as model:
        weights = {
            "kernel": pm.Normal("kernel", [[1.0, -2.0]], 0.4, shape=(1, 2)),
            "bias": pm.Normal("bias", [1.0, -0.5], 0.4),
            "head": pm.Normal("head", [1.5, 0.7], 0.4),
        }
        log_sigma = pm.Normal("log_sigma", np.log(0.3), 0.2)
        pmj.NeuralNetObserved(
            "y", net, weights, x, likelihood=lambda out: pm.Normal.dist(out, pt.exp(log_sigma))
        )
    return model


MODELS = {
    "Poisson HMM": poisson_hmm,
    "Lotka-Volterra": lotka_volterra,
    "small network": small_network,
}
#: As many as a quarter of an hour allows.
SIMULATIONS = {"Poisson HMM": 2000, "Lotka-Volterra": 500, "small network": 2000}


def calibration(build, n_simulations=200, n_draws=120, thin=4, warmup=300, seed=1):
    """Return ranks of the true parameters and log-densities among posterior draws.

    Parameters
    ----------
    build : callable
        Returns a model whose free variables other than ``y`` are Normal.
    n_simulations, n_draws, thin, warmup, seed : int

    Returns
    -------
    (S, Q) array of int
        Ranks from 0 to ``n_draws``: of every entry of every parameter, and of the
        log-likelihood.
    """
    model = build()
    parameters = [rv for rv in model.free_RVs if rv.name != "y"]
    *truth, data = pm.draw(
        [*parameters, model["y"]], draws=n_simulations, random_seed=seed, mode=FAST
    )
    values = [model.rvs_to_values[rv] for rv in parameters]
    assert all(model.rvs_to_transforms[rv] is None for rv in parameters)
    value = model.rvs_to_values[model["y"]]
    likelihood = model.logp(vars=[model["y"]], jacobian=False)
    prior = model.logp(vars=parameters)
    graph = get_jaxified_graph([*values, value], [likelihood, prior])

    def log_densities(parts, observed):
        return graph(*parts, observed)

    @jax.jit
    @jax.vmap
    def posterior(truth, observed, key):
        def potential(parts):
            log_likelihood, log_prior = log_densities(parts, observed)
            return -(log_likelihood + log_prior)

        # From the truth, which is a draw of the posterior too: no burn-in is needed.
        # All simulations wait for the one with the longest trajectory.
        kernel = NUTS(potential_fn=potential, dense_mass=True, max_tree_depth=4)
        state = kernel.init(key, warmup, truth, (), {})

        def step(state, _):
            return kernel.sample(state, (), {}), None

        def kept(state, _):
            state, _ = jax.lax.scan(step, state, length=thin)
            return state, (state.z, log_densities(state.z, observed)[0])

        state, _ = jax.lax.scan(step, state, length=warmup)
        _, (draws, log_likelihoods) = jax.lax.scan(kept, state, length=n_draws)
        return draws, log_likelihoods, log_densities(truth, observed)[0]

    keys = jax.random.split(jax.random.key(seed), n_simulations)
    draws, log_likelihoods, own = posterior([jnp.asarray(t) for t in truth], data, keys)
    columns = [
        (np.asarray(drawn) < true[:, None]).sum(axis=1).reshape(n_simulations, -1)
        for drawn, true in zip(draws, truth, strict=True)
    ]
    columns.append((np.asarray(log_likelihoods) < np.asarray(own)[:, None]).sum(axis=1)[:, None])
    return np.concatenate(columns, axis=1)


def uniformity(ranks, n_draws, n_bins=20):
    """Return a p-value of the chi-square test for each column of ranks."""
    bins = ranks * n_bins // (n_draws + 1)
    edges = np.arange(n_draws + 1) * n_bins // (n_draws + 1)
    share = np.bincount(edges, minlength=n_bins) / (n_draws + 1)
    return np.array(
        [
            stats.chisquare(np.bincount(c, minlength=n_bins), share * len(ranks)).pvalue
            for c in bins.T
        ]
    )
