"""The regression network of NumPyro's documentation has the same posterior here."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pymc as pm
import pytest
from flax import linen as nn
from numpy.testing import assert_allclose
from numpyro.contrib.module import random_flax_module
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density

import pymc_jaxdist as pmj
from tests.distributions.compiled import FAST
from tests.statistical.monte_carlo import standard_errors_apart

pytestmark = pytest.mark.filterwarnings(
    "ignore:Some donated buffers were not usable:UserWarning",
    "ignore:There are not enough devices to run parallel chains:UserWarning",
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=80)
Y = np.cos(3 * X) + RNG.normal(size=80) * np.abs(X) / 2
GRID = np.linspace(-2, 2, 9)
PRIOR_SD = 0.5


class Net(nn.Module):
    """Two hidden layers, and a mean and a scale for each row."""

    n_units: int

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(self.n_units)(x[..., None]))
        x = nn.relu(nn.Dense(self.n_units)(x))
        return nn.Dense(1)(x).squeeze(-1), nn.Dense(1)(x).squeeze(-1)


def in_numpyro(x, y=None):
    net = random_flax_module("nn", Net(4), dist.Normal(0, PRIOR_SD), input_shape=())
    mean, rho = net(x)
    with numpyro.plate("batch", len(x)):
        numpyro.sample("obs", dist.Normal(mean, nn.softplus(rho)), obs=y)


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        prior = pm.Normal.dist(0.0, np.float64(PRIOR_SD))
        weights = pmj.nn_priors("nn", Net(4), X, prior=prior)
        pmj.NeuralNetObserved(
            "obs",
            Net(4),
            weights,
            X,
            likelihood=lambda out: pm.Normal.dist(out[0], pm.math.log1pexp(out[1])),
            observed=Y,
        )
    return model


@pytest.mark.slow
def test_same_log_density_as_random_flax_module(model):
    logp = model.compile_fn(model.logp(), mode=FAST)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        point = {k: rng.normal(size=v.shape) for k, v in model.initial_point().items()}
        params = {name.replace("nn.", "nn/", 1): value for name, value in point.items()}
        with jax.enable_x64(True):
            expected, _ = log_density(in_numpyro, (X, Y), {}, params)
        assert_allclose(logp(point), expected, rtol=1e-9)


@pytest.mark.slow
def test_same_posterior_predictive_as_random_flax_module(model):
    with jax.enable_x64(True):
        mcmc = MCMC(
            NUTS(in_numpyro),
            num_warmup=300,
            num_samples=400,
            num_chains=2,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.key(0), X, Y)
        samples = mcmc.get_samples(group_by_chain=True)
        tree = {}
        for name, value in samples.items():
            layer, leaf = name.removeprefix("nn/").split(".")
            tree.setdefault(layer, {})[leaf] = value
        apply = jax.vmap(jax.vmap(lambda p: Net(4).apply({"params": p}, GRID)))
        theirs = [np.asarray(x) for x in apply(tree)]
    with model:
        idata = pm.sample(
            400,
            tune=300,
            chains=2,
            nuts_sampler="numpyro",
            nuts_sampler_kwargs={"chain_method": "vectorized"},
            random_seed=1,
            progressbar=False,
            compute_convergence_checks=False,
        )
    ours = pmj.predict(idata, "obs", X=GRID, model=model)
    for name, their in (("obs_0", theirs[0]), ("obs_1", theirs[1])):
        assert np.abs(standard_errors_apart(ours[name].values, their)).max() < 5
    assert float(ours["r_hat_0"].max()) < 1.1
