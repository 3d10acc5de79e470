"""`JaxDist`: a log-density written for one unit, as a distribution of PyMC."""

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.stats as st
from numpy.testing import assert_allclose
from pytensor.compile.mode import Mode, get_mode

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import DataError, FunctionError, ParameterError, ShapeError
from tests.distributions.compiled import FAST, evaluate, some_draws

N, T = 4, 6
Y = np.random.default_rng(0).normal(size=(N, T)).cumsum(-1)
QUIET = {"progressbar": False, "random_seed": 1}
MODES = {
    "C": lambda: Mode(linker="cvm", optimizer="fast_run"),
    "Numba": lambda: get_mode("NUMBA"),
    "JAX": lambda: get_mode("JAX"),
}


def random_walk(y, drift, sigma):
    """Log-density of one random walk, started anywhere."""
    return jax.scipy.stats.norm.logpdf(jnp.diff(y), drift, sigma).sum()


def draw_in_jax(key, drift, sigma):
    return jnp.cumsum(drift + sigma * jax.random.normal(key, T))


def draw_in_numpy(drift, sigma, rng, size):
    steps = rng.normal(drift[..., None], sigma[..., None], size=(*size, T))
    return steps.cumsum(-1)


def reference(y, drift, sigma):
    return st.norm.logpdf(np.diff(y), np.asarray(drift)[..., None], sigma).sum(-1)


def build(observed=Y, **kwargs):
    with pm.Model(coords={"walk": list("abcd"), "time": range(T)}) as model:
        drift = pm.Normal("drift", 0, 1)
        sigma = pm.HalfNormal("sigma", 1)
        arguments = {"signature": "(),()->(t)", "random": draw_in_jax, **kwargs}
        pmj.JaxDist("y", random_walk, drift, sigma, observed=observed, **arguments)
    return model


@pytest.fixture(scope="module")
def model():
    return build(dims=("walk", "time"))


@pytest.fixture(scope="module")
def idata(model):
    return some_draws(model, 50)


@pytest.mark.parametrize("mode", MODES)
def test_value_and_gradient_in_every_mode(mode):
    drift, sigma = pt.dvector("drift"), pt.dscalar("sigma")
    walk = pmj.JaxDist.dist(random_walk, drift, sigma, signature="(),()->(t)", shape=(N, T))
    logp = pm.logp(walk, Y)
    outputs = [logp, *pt.grad(logp.sum(), [drift, sigma])]
    function = pytensor.function([drift, sigma], outputs, mode=MODES[mode]())
    drifts = np.linspace(-0.5, 0.5, N)
    value, of_drift, of_sigma = function(drifts, 0.8)
    assert_allclose(value, reference(Y, drifts, 0.8), rtol=1e-13)
    residuals = np.diff(Y) - drifts[:, None]
    assert_allclose(of_drift, residuals.sum(-1) / 0.8**2, rtol=1e-12)
    assert_allclose(of_sigma, (residuals**2 / 0.8**3 - 1 / 0.8).sum(), rtol=1e-12)


class TestShapes:
    def test_a_shared_parameter_of_a_vector_valued_unit(self):
        weights = np.array([0.5, 2.0])
        dist = pmj.JaxDist.dist(lambda y, w: -(w @ y), weights, signature="(d)->(d)", shape=(3, 2))
        value = np.arange(6.0).reshape(3, 2)
        assert_allclose(evaluate(pm.logp(dist, value)), -value @ weights)

    def test_a_vector_and_a_vector_give_a_number(self):
        """The example of the specification: ``"(n),(k)->()"``."""
        a, b = np.ones((3, 4)), np.arange(2.0)
        dist = pmj.JaxDist.dist(
            lambda y, a, b: y * a.sum() + b.sum(), a, b, signature="(n),(k)->()", shape=3
        )
        assert_allclose(evaluate(pm.logp(dist, np.array([1.0, 2.0, 3.0]))), [5.0, 9.0, 13.0])

    def test_parameters_of_two_batch_dimensions(self):
        row, column = pt.dmatrix("row"), pt.dvector("column")
        dist = pmj.JaxDist.dist(lambda y, a, b: y * a + b, row, column, shape=(3, 2))
        logp = pm.logp(dist, np.ones((3, 2)))
        rows, columns = np.arange(3.0)[:, None], np.arange(2.0)
        expected = np.broadcast_to(rows + columns, (3, 2))
        assert_allclose(logp.eval({row: rows, column: columns}, mode=FAST), expected)

    def test_one_value_under_several_parameters(self):
        dist = pmj.JaxDist.dist(lambda y, a: y * a, np.arange(3.0))
        assert_allclose(evaluate(pm.logp(dist, 2.0)), [0.0, 2.0, 4.0])

    def test_counts_stay_integers(self):
        with pm.Model() as model:
            rate = pm.HalfNormal("rate")
            pmj.JaxDist("n", jax.scipy.stats.poisson.logpmf, rate, observed=[1, 2, 0])
        assert model["n"].dtype == "int64"
        expected = st.poisson.logpmf([1, 2, 0], 1).sum()
        assert_allclose(model.point_logps()["n"], expected, atol=0.01)

    def test_data_can_change_both_its_lengths(self):
        with pm.Model() as model:
            data = pm.Data("data", Y)
            drift = pm.Normal("drift")
            pmj.JaxDist(
                "y",
                random_walk,
                drift,
                1.0,
                signature="(),()->(t)",
                random=lambda drift, sigma, rng, size: rng.normal(size=(*size, 3)),
                observed=data,
            )
        logp = model.compile_fn(model.logp(), mode=FAST)
        longer = np.hstack([Y, Y])[:3]
        with model:
            pm.set_data({"data": longer})
        expected = reference(longer, 0.0, 1.0).sum() + st.norm.logpdf(0)
        assert_allclose(logp({"drift": 0.0}), expected)


class TestPyMC:
    def test_names_itself(self, model):
        assert model["y"].str_repr().startswith("y ~ JaxDist(drift, sigma")

    def test_dims_and_draws(self, model):
        with model:
            prior = pm.sample_prior_predictive(3, random_seed=1)
        draws = prior["prior_predictive"]["y"]
        assert draws.dims == ("chain", "draw", "walk", "time")
        assert len(np.unique(draws)) == draws.size

    def test_posterior_predictive_and_log_likelihood(self, model, idata):
        with model:
            predictive = pm.sample_posterior_predictive(idata, var_names=["y"], **QUIET)
            likelihood = pm.compute_log_likelihood(
                idata, extend_inferencedata=False, progressbar=False
            )
        assert predictive["posterior_predictive"]["y"].shape == (2, 50, N, T)
        assert likelihood["y"].dims == ("chain", "draw", "walk")
        one = {name: float(idata["posterior"][name][0, 3]) for name in ("drift", "sigma")}
        assert_allclose(likelihood["y"][0, 3], reference(Y, **one), rtol=1e-12)

    @pytest.mark.parametrize("random", [draw_in_jax, draw_in_numpy])
    def test_draws_follow_the_parameters(self, random):
        drifts = np.array([-5.0, 5.0])
        walk = pmj.JaxDist.dist(
            random_walk, drifts, 0.1, signature="(),()->(t)", random=random, shape=(2, T)
        )
        draws = pm.draw(walk, 20, random_seed=1)
        assert draws.shape == (20, 2, T)
        assert_allclose(draws.mean(0), drifts[:, None] * np.arange(1, T + 1), atol=0.5)
        assert_allclose(draws, pm.draw(walk, 20, random_seed=1))

    def test_without_random_draws_say_what_is_missing(self):
        dist = pmj.JaxDist.dist(random_walk, 0.0, 1.0, signature="(),()->(t)", shape=(T,))
        with pytest.raises(NotImplementedError, match="random="):
            pm.draw(dist)

    def test_an_unobserved_variable_starts_where_told(self):
        with pm.Model() as model:
            scale = pm.HalfNormal("scale")
            pmj.JaxDist("x", exponential, scale, shape=2, support_point=lambda scale: 2 * scale)
            pmj.JaxDist("z", exponential, 1.0, support_point=0.5)
        point = model.initial_point()
        assert_allclose(point["x"], 2 * np.exp(point["scale_log__"]))
        assert_allclose(point["z"], 0.5)

    def test_do_observe_and_pickle(self, model):
        generative = build(observed=None, dims=("walk", "time"))
        observed = pm.observe(generative, {"y": Y})
        logp = model.point_logps()["y"]
        assert_allclose(observed.point_logps()["y"], logp)
        copied = cloudpickle.loads(cloudpickle.dumps(model))
        assert_allclose(copied.point_logps()["y"], logp)

    @pytest.mark.slow
    def test_second_derivatives(self, model):
        point = model.initial_point()
        hessian = model.compile_fn(model.d2logp(negate_output=False), mode=FAST)(point)
        assert_allclose(hessian[0, 0], -N * (T - 1) / np.exp(point["sigma_log__"]) ** 2 - 1)


def exponential(x, scale):
    return jnp.where(x > 0, -x / scale - jnp.log(scale), -jnp.inf)


class TestMissingValues:
    gappy = np.where(np.arange(N * T).reshape(N, T) == 8, np.nan, Y)

    def test_are_refused_at_first(self):
        with pytest.raises(DataError, match="missing="):
            build(self.gappy)

    def test_a_unit_can_be_skipped(self):
        model = build(self.gappy, missing="skip")
        point = model.initial_point()
        logp, *gradient = (
            model.compile_fn(f, mode=FAST)(point)
            for f in (model.logp(vars=model.observed_RVs), model.dlogp())
        )
        present = np.delete(Y, 1, axis=0)
        assert_allclose(logp, reference(present, 0.0, np.exp(point["sigma_log__"])).sum())
        assert np.isfinite(gradient).all()

    def test_or_be_the_business_of_the_function(self):
        def present_only(y, mu):
            return jnp.nansum(jax.scipy.stats.norm.logpdf(y, mu, 1.0))

        dist = pmj.JaxDist.dist(
            present_only, 0.0, signature="()->(t)", shape=(N, T), missing="pass"
        )
        expected = np.nansum(st.norm.logpdf(self.gappy), axis=-1)
        assert_allclose(evaluate(pm.logp(dist, self.gappy)), expected)


class TestErrors:
    def test_a_result_that_is_no_number(self):
        with pytest.raises(FunctionError, match="one number for one unit") as caught:
            pmj.JaxDist.dist(lambda y, m: -((y - m) ** 2), np.ones(3), signature="(n)->(n)")
        assert "(3,)" in str(caught.value)

    def test_numpy_on_traced_arrays(self):
        with pytest.raises(FunctionError, match=r"jax\.numpy"):
            pmj.JaxDist.dist(lambda y, m: np.log(y - m), 1.0)

    def test_a_gradient_that_is_nan_names_the_parameter(self):
        def unsafe(y, mu, tau):
            return jnp.where(y > 0, -y * mu, jnp.sqrt(tau - 1.0)) + tau * 0

        with pm.Model():
            mu = pm.Normal("mu")
            tau = pm.Exponential("tau", 1.0)
            with pytest.raises(ParameterError, match="'tau'"):
                pmj.JaxDist("y", unsafe, mu, tau, observed=[1.0, 2.0])

    def test_too_few_dimensions(self):
        with pytest.raises(ShapeError, match="fewer dimensions"):
            pmj.JaxDist.dist(lambda y, a: a.sum(), 1.0, signature="(n)->()")

    def test_two_lengths(self):
        with pytest.raises(ShapeError, match="'n' has two lengths"):
            pmj.JaxDist.dist(lambda y, a, b: a @ b, np.ones(3), np.ones(2), signature="(n),(n)->()")

    def test_another_number_of_parameters(self):
        with pytest.raises(ParameterError, match="2 parameters"):
            pmj.JaxDist.dist(lambda y, a, b: 0.0, 1.0, 2.0, signature="()->()")

    @pytest.mark.parametrize("signature", ["n->()", "(n),->()", "(n)", "(n)->(),()"])
    def test_no_signature(self, signature):
        with pytest.raises(ParameterError, match="signature"):
            pmj.JaxDist.dist(lambda y, a: 0.0, np.ones(2), signature=signature)

    def test_random_of_another_kind(self):
        with pytest.raises(ParameterError, match="key"):
            pmj.JaxDist.dist(lambda y, a: y * a, 1.0, random=lambda a: a)

    def test_random_of_another_shape(self):
        dist = pmj.JaxDist.dist(
            lambda y, a: y * a, 1.0, shape=3, random=lambda a, rng, size: np.zeros(2)
        )
        with pytest.raises(ShapeError, match="another shape"):
            pm.draw(dist)

    def test_a_model_variable_from_outside(self):
        with pm.Model():
            mu = pm.Normal("mu")
            with pytest.raises(FunctionError, match="mu"):
                pmj.JaxDist("y", lambda y: -((y - mu) ** 2), observed=[1.0])

    def test_a_length_nobody_tells(self):
        with pytest.raises(ShapeError, match="'t'"):
            pmj.JaxDist.dist(random_walk, 0.0, 1.0, signature="(),()->(t)")
