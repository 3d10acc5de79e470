"""Everything PyMC does with a distribution, done with MarginalHMM."""

import cloudpickle
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from tests.distributions.compiled import FAST, evaluate, some_draws

# How PyMC 5 runs NumPyro.
pytestmark = pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")

N, T = 4, 6
MATRIX = np.array([[0.9, 0.1], [0.2, 0.8]])
Y = np.random.default_rng(0).normal(size=(N, T)) + np.repeat([[0.0], [3.0]], [2, 2], axis=0)
QUIET = {"progressbar": False, "random_seed": 1}


def build(observed=Y, **kwargs):
    with pm.Model(coords={"subject": list("abcd"), "time": range(T)}) as model:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        matrix = pm.Dirichlet("P", np.ones((2, 2)))
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), matrix, observed=observed, **kwargs)
    return model


@pytest.fixture(scope="module")
def model():
    return build(dims=("subject", "time"))


@pytest.fixture(scope="module")
def idata(model):
    return some_draws(model, 50)


def logp_at_start(model):
    return float(model.compile_fn(model.logp(), mode=FAST)(model.initial_point()))


def test_names_itself(model):
    assert model["y"].str_repr().startswith("y ~ MarginalHMM(P, mu")
    assert "MarginalHMM" in model["y"]._repr_latex_()


def test_graphviz_shows_its_parents(model):
    source = pm.model_to_graphviz(model).source
    assert "MarginalHMM" in source
    assert "mu -> y" in source
    assert "P -> y" in source


def test_dims_and_coords_reach_the_draws(model):
    with model:
        prior = pm.sample_prior_predictive(3, random_seed=1)
    draws = prior["prior_predictive"]["y"]
    assert draws.dims == ("chain", "draw", "subject", "time")
    assert list(draws.coords["subject"].values) == list("abcd")
    assert_allclose(prior["observed_data"]["y"].values, Y)


def test_posterior_predictive(model, idata):
    with model:
        predictive = pm.sample_posterior_predictive(idata, var_names=["y"], **QUIET)
    draws = predictive["posterior_predictive"]["y"]
    assert draws.shape == (2, 50, N, T)
    assert abs(float(draws.mean()) - Y.mean()) < 1.0


def test_log_likelihood_is_per_sequence(model, idata):
    with model:
        with_likelihood = pm.compute_log_likelihood(
            idata, extend_inferencedata=False, progressbar=False
        )
    assert with_likelihood["y"].dims == ("chain", "draw", "subject")


def test_do_and_observe():
    with pm.Model() as generative:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, shape=(N, T))
    observed = pm.observe(generative, {"y": Y})
    with pm.Model() as direct:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, observed=Y)
    assert_allclose(logp_at_start(observed), logp_at_start(direct), rtol=1e-14)
    intervened = pm.do(direct, {"mu": np.array([0.0, 3.0])})
    (logp,) = intervened.logp(sum=False)
    assert_allclose(evaluate(logp.sum()), direct.point_logps()["y"], atol=0.01)


def test_data_can_change_both_its_lengths():
    with pm.Model() as model:
        data = pm.Data("data", Y)
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, observed=data)
    logp = model.compile_fn(model.logp(), mode=FAST)
    point = model.initial_point()
    once = logp(point)
    longer = np.tile(np.hstack([Y, Y]), (2, 1))
    with model:
        pm.set_data({"data": longer})
        prior = pm.sample_prior_predictive(2, random_seed=1)
    with pm.Model() as fresh:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, observed=longer)
    assert_allclose(logp(point), logp_at_start(fresh), rtol=1e-13)
    assert logp(point) != once
    assert prior["prior_predictive"]["y"].shape == (1, 2, 2 * N, 2 * T)


def test_shared_data_may_hold_missing_values():
    """pm.Data refuses NaN; a shared variable does not."""
    gappy = Y.copy()
    gappy[1, 2:4] = np.nan
    shared = pytensor.shared(Y, name="data")
    with pm.Model() as model:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, observed=shared)
    shared.set_value(gappy)
    with pm.Model() as fresh:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, observed=gappy)
    assert_allclose(logp_at_start(model), logp_at_start(fresh), rtol=1e-14)


def test_minibatch_scales_the_likelihood():
    with pm.Model() as whole:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, observed=np.tile(Y[:1], (20, 1)))
    with pm.Model() as model:
        batch = pm.Minibatch(np.tile(Y[:1], (20, 1)), batch_size=5)
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, observed=batch, total_size=(20, ...))
    assert_allclose(logp_at_start(model), logp_at_start(whole), rtol=1e-12)
    with model:
        fit = pm.fit(50, method="advi", **QUIET)
    assert np.isfinite(fit.hist).all()


@pytest.mark.slow
@pytest.mark.parametrize("n_mc", [1, 3])
def test_variational_inference(model, n_mc):
    with model:
        fit = pm.fit(50, method="fullrank_advi", obj_n_mc=n_mc, **QUIET)
    assert np.isfinite(fit.hist).all()


def test_maximum_a_posteriori(model):
    with model:
        estimate = pm.find_MAP(progressbar=False)
    gradient = model.compile_fn(model.dlogp(jacobian=False), mode=FAST)
    at_map = gradient({v.name: estimate[v.name] for v in model.value_vars})
    assert_allclose(at_map, 0, atol=0.05)


def test_sequential_monte_carlo(model):
    with model:
        idata = pm.sample_smc(50, chains=1, cores=1, **QUIET)
    assert np.isfinite(idata["posterior"]["mu"].values).all()


@pytest.mark.parametrize("step", [pm.Slice, pm.Metropolis])
def test_samplers_without_gradients(model, step):
    with model:
        idata = pm.sample(
            20, tune=20, step=step(), chains=1, cores=1, compute_convergence_checks=False, **QUIET
        )
    assert np.isfinite(idata["posterior"]["mu"].values).all()


@pytest.mark.slow
def test_the_series_itself_can_be_sampled():
    with pm.Model() as model:
        pmj.MarginalHMM("x", pm.Normal.dist([-2.0, 2.0], 1.0), MATRIX, steps=3)
        idata = pm.sample(
            1000,
            tune=500,
            chains=1,
            cores=1,
            nuts_sampler="numpyro",
            compute_convergence_checks=False,
            **QUIET,
        )
    draws = idata["posterior"]["x"].values[0]
    prior = pm.draw(model["x"], draws=4000, random_seed=1)
    assert draws.shape == (1000, 3)
    assert_allclose(draws.std(0), prior.std(0), rtol=0.15)
    assert_allclose(np.corrcoef(draws.T), np.corrcoef(prior.T), atol=0.15)


def test_initial_point_of_an_unobserved_series_is_in_the_support():
    with pm.Model() as model:
        pmj.MarginalHMM("x", pm.Gamma.dist([1.0, 5.0], 1.0), MATRIX, shape=(2, 3))
        pmj.MarginalHMM("n", pm.Poisson.dist([1.0, 5.0]), MATRIX, steps=3)
    assert np.isfinite(list(model.point_logps().values())).all()


def test_a_pickled_model_has_the_same_log_density(model):
    copied = cloudpickle.loads(cloudpickle.dumps(model))
    assert_allclose(logp_at_start(copied), logp_at_start(model), rtol=1e-15)


@pytest.mark.slow
def test_hessian(model):
    point = model.initial_point()
    hessian = model.compile_fn(model.d2logp(negate_output=False), mode=FAST)(point)
    gradient = model.compile_fn(model.dlogp(), mode=FAST)
    step = 1e-5
    for j in range(2):
        ahead, behind = (dict(point) for _ in range(2))
        ahead["mu"] = point["mu"] + step * np.eye(2)[j]
        behind["mu"] = point["mu"] - step * np.eye(2)[j]
        expected = (gradient(ahead) - gradient(behind)) / (2 * step)
        assert_allclose(hessian[:, j], expected, rtol=1e-5, atol=1e-6)


def test_two_series_in_one_model_share_their_parameters():
    with pm.Model() as model:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        emission = pm.Normal.dist(mu, 1.0)
        pmj.MarginalHMM("a", emission, MATRIX, observed=Y[0])
        pmj.MarginalHMM("b", emission, MATRIX, observed=Y[1])
    terms = model.point_logps()
    with pm.Model() as together:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, observed=Y[:2])
    assert_allclose(terms["a"] + terms["b"], together.point_logps()["y"], atol=0.02)


def test_a_potential_from_raw_terms():
    with pm.Model() as model:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        terms = pm.logp(pm.Normal.dist(mu, 1.0), pt.as_tensor(Y[..., None]))
        pm.Potential("loglik", pmj.hmm_logp(terms, [0.5, 0.5], MATRIX).sum())
    with pm.Model() as distribution:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), MATRIX, "uniform", observed=Y)
    assert_allclose(logp_at_start(model), logp_at_start(distribution), rtol=1e-13)
