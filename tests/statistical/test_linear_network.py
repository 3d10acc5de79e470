"""A network that is a line has a posterior in closed form, which every inference must find."""

from pathlib import Path

import jax
import numpy as np
import pymc as pm
import pytest
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from tests.distributions.compiled import FAST, interpreted
from tests.statistical.monte_carlo import effective_sample_size
from tests.test_documentation import python_blocks

pytestmark = pytest.mark.filterwarnings(
    "ignore:Some donated buffers were not usable:UserWarning",
    "ignore:There are not enough devices to run parallel chains:UserWarning",
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 2))
Y = X @ np.array([1.0, -2.0]) + RNG.normal(size=20)
COVARIANCE = np.linalg.inv(X.T @ X + np.eye(2))
MEAN = COVARIANCE @ X.T @ Y


def line(params, x):
    return x @ params["slope"]


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        start = {"slope": np.zeros(2)}
        weights = pmj.nn_priors("net", line, X, prior=pm.Normal.dist(0.0, 1.0), start=start)
        pmj.NeuralNetObserved(
            "y", line, weights, X, likelihood=lambda out: pm.Normal.dist(out, 1.0), observed=Y
        )
    return model


SAMPLERS = {
    "pymc": {"cores": 1},
    "numpyro": {"nuts_sampler_kwargs": {"chain_method": "vectorized"}},
    "nutpie": {"cores": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampling(model, sampler):
    with model, interpreted():
        idata = pm.sample(
            600,
            tune=300,
            chains=2,
            nuts_sampler=sampler,
            random_seed=1,
            progressbar=False,
            compute_convergence_checks=False,
            **SAMPLERS[sampler],
        )
    draws = idata["posterior"]["net.slope"].values
    for k in range(2):
        error = np.sqrt(COVARIANCE[k, k] / effective_sample_size(draws[..., k]))
        assert abs(draws[..., k].mean() - MEAN[k]) < 5 * error
    assert_allclose(np.cov(draws.reshape(-1, 2).T), COVARIANCE, rtol=0.25, atol=0.02)


def test_maximum_a_posteriori_and_laplace(model):
    with model, interpreted():
        estimate = pm.find_MAP(progressbar=False)["net.slope"]
        hessian = model.compile_fn(model.d2logp(negate_output=False), mode=FAST)
    assert_allclose(estimate, MEAN, atol=1e-4)
    assert_allclose(np.linalg.inv(-hessian({"net.slope": estimate})), COVARIANCE, rtol=1e-9)


def test_laplace_draws_as_in_the_documentation(model):
    """Its code runs, and its bands are those of the exact posterior."""
    page = Path(__file__).parents[2] / "docs" / "neural_networks.md"
    (block,) = (b for b in python_blocks(page) if "find_MAP" in b)
    block = block.replace("find_MAP()", "find_MAP(progressbar=False)")
    names = {"model": model, "pm": pm, "pmj": pmj, "np": np, "X": X}
    names["rng"] = np.random.default_rng(1)
    with interpreted():
        exec(block, names)
    curve = names["curve"]["y"][0].values
    sd = np.sqrt(np.einsum("ni,ij,nj->n", X, COVARIANCE, X))
    assert curve.shape == (1000, 20)
    assert_allclose(curve.std(0), sd, rtol=0.1)
    assert (np.abs(curve.mean(0) - X @ MEAN) < 4 * sd / np.sqrt(1000)).all()


@pytest.mark.slow
def test_variational_inference(model):
    with model, interpreted():
        fit = pm.fit(
            3000,
            method="fullrank_advi",
            random_seed=1,
            progressbar=False,
            obj_optimizer=pm.adam(learning_rate=0.02),
        )
    assert_allclose(fit.mean.eval(), MEAN, atol=0.15)


def test_posterior_pytree_runs_in_jax(model):
    with model, interpreted():
        idata = pm.sample_prior_predictive(5, random_seed=1)
    draws = {"posterior": idata["prior"]}
    tree = pmj.posterior_pytree(draws, "y", model=model)
    outputs = jax.vmap(line, (0, None))(tree, X)
    assert_allclose(outputs, pmj.predict(draws, "y", model=model)["y"][0], rtol=1e-6)
