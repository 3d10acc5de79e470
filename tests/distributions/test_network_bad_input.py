"""What can be wrong with a network, its priors or its likelihood, each a named error."""

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from flax import linen as nn
from flax import nnx

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import (
    DataError,
    DistributionError,
    FunctionError,
    ParameterError,
    ShapeError,
)
from tests.distributions.four_networks import NETWORKS, PLAIN_START, Linen, plain

X = np.random.default_rng(0).normal(size=(7, 2))
Y = np.arange(7.0)


def normal(out):
    return pm.Normal.dist(out[..., 0], 1.0)


def priors(net=plain, x=X, prior=None, start=PLAIN_START, **kwargs):
    with pm.Model() as model:
        return model, pmj.nn_priors("net", net, x, prior, start=start, **kwargs)


def observe(likelihood=normal, y=Y, x=X, net=plain, weights=PLAIN_START):
    with pm.Model():
        return pmj.NeuralNetObserved("y", net, weights, x, likelihood=likelihood, observed=y)


class TestPriors:
    def test_patterns_are_tried_in_order(self):
        with pm.Model() as model:
            tau = pm.HalfNormal("tau")
            prior = {
                "head.*": pmj.Frozen(),
                "*.kernel": pm.Normal.dist(0, tau),
                "hidden.bias": pmj.FanIn(2.0),
            }
            dims = {"*.kernel": ("input", "unit")}
            model.add_coords({"input": ["a", "b"], "unit": range(3)})
            weights = pmj.nn_priors(
                "net", plain, X, prior, start=PLAIN_START, dims={"hidden.kernel": dims["*.kernel"]}
            )
        assert [rv.name for rv in model.free_RVs] == ["tau", "net.hidden.bias", "net.hidden.kernel"]
        assert model.named_vars_to_dims["net.hidden.kernel"] == ("input", "unit")
        assert isinstance(weights["head.kernel"], np.ndarray)
        assert "frozen" in repr(weights)
        draws = pm.draw(
            [weights["hidden.kernel"], weights["hidden.bias"], tau], 2000, random_seed=1
        )
        assert draws[1].std() == pytest.approx(2.0, rel=0.05)
        assert (draws[0].std((1, 2)) / draws[2]).mean() == pytest.approx(0.95, abs=0.1)
        assert len(np.unique(draws[0])) == draws[0].size

    def test_one_distribution_for_each_leaf_is_drawn_independently(self):
        _, weights = priors(prior=pm.Laplace.dist(0.0, 1.0), start=PLAIN_START)
        hidden, head = pm.draw([weights["hidden.bias"], weights["head.kernel"]], random_seed=1)
        assert not np.intersect1d(hidden, head).size

    def test_fan_in_of_the_library(self):
        _, equinox = priors(NETWORKS["equinox"]()[0], start=None)
        _, linen = priors(Linen(), start=None)
        for weight in (equinox["hidden.weight"], linen["hidden.kernel"]):
            assert weight.owner.inputs[3].eval() == pytest.approx(1 / np.sqrt(2))

    def test_trained_weights_are_the_start(self):
        net = NETWORKS["nnx"]()[0]
        model, _ = priors(net, start=None)
        np.testing.assert_allclose(model.initial_point()["net.hidden.kernel"], net.hidden.kernel)
        trained = {**PLAIN_START, "head": {"kernel": np.full((3, 1), 7.0), "bias": np.ones(1)}}
        model, _ = priors(Linen(), start={"params": trained})
        np.testing.assert_allclose(model.initial_point()["net.head.kernel"], 7.0)

    @pytest.mark.parametrize(
        ("prior", "message"),
        [
            ({"*.kernle": pmj.FanIn(), "*": pmj.FanIn()}, r"'\*.kernle'"),
            ({"hidden.*": pmj.FanIn()}, "'head.bias' and the patterns 'hidden"),
            ({"*": pmj.FanIn(), "head.*": pmj.Frozen()}, "special patterns before general"),
            ({"*": pmj.Frozen(np.full(3, np.nan))}, "another shape"),
        ],
    )
    def test_patterns_and_weights_must_match(self, prior, message):
        with pytest.raises((ParameterError, ShapeError), match=message) as caught:
            priors(prior=prior)
        assert "hidden.kernel" in str(caught.value) or "frozen" in str(caught.value)

    @pytest.mark.parametrize(
        ("prior", "error"),
        [
            (pm.Normal.dist(np.zeros(5), 1), ShapeError),
            (pm.Normal.dist(np.nan, 1), ParameterError),
            (3.0, DistributionError),
            ({"hidden.bias": pmj.Frozen(np.full(3, np.nan)), "*": pmj.FanIn()}, ParameterError),
        ],
    )
    def test_priors_that_do_not_fit(self, prior, error):
        with pytest.raises(error, match=r"hidden|head"):
            priors(prior=prior)

    def test_start_that_is_not_finite(self):
        start = {**PLAIN_START, "head": {"kernel": np.full((3, 1), np.nan), "bias": np.zeros(1)}}
        with pytest.raises(ParameterError, match=r"head\.kernel"):
            priors(start=start)

    def test_a_plain_function_must_be_told_its_weights(self):
        with pytest.raises(ParameterError, match="start="):
            priors(start=None)


class TestNetworks:
    def test_no_network(self):
        with pytest.raises(FunctionError, match="must be a network"):
            priors(net=3, start=None)

    def test_covariates_of_another_width(self):
        with pytest.raises(FunctionError, match=r"rows of shape \(3,\)"):
            priors(x=np.zeros((4, 3)))

    def test_covariates_without_rows(self):
        with pytest.raises(ShapeError, match="rows"):
            priors(x=1.0)

    def test_dropout_in_linen(self):
        class Dropout(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.Dropout(0.5, deterministic=False)(nn.Dense(1)(x))

        with pytest.raises(FunctionError, match="random numbers") as caught:
            priors(net=Dropout(), start=None)
        assert "deterministic=True" in str(caught.value)

    def test_dropout_in_nnx(self):
        class Dropout(nnx.Module):
            def __init__(self):
                rngs = nnx.Rngs(0)
                self.dense = nnx.Linear(2, 1, rngs=rngs)
                self.dropout = nnx.Dropout(0.5, rngs=rngs)

            def __call__(self, x):
                return self.dropout(self.dense(x))

        with pytest.raises(FunctionError, match="random numbers"):
            priors(net=Dropout(), start=None)
        net = Dropout()
        net.eval()
        _, weights = priors(net=net, start=None)
        assert list(weights) == ["dense.bias", "dense.kernel"]

    def test_dropout_in_equinox(self):
        import equinox as eqx

        net = eqx.nn.Sequential([eqx.nn.Linear(2, 1, key=jax.random.key(0)), eqx.nn.Dropout(0.5)])
        with pytest.raises(FunctionError, match="random numbers"):
            priors(net=net, start=None)

    def test_random_numbers_in_a_plain_function(self):
        def noisy(params, x):
            return plain(params, x) + jax.random.normal(jax.random.key(0))

        with pytest.raises(FunctionError, match="random numbers"):
            priors(net=noisy)

    def test_batch_statistics_are_frozen_with_a_notice(self):
        class Normalised(nnx.Module):
            def __init__(self):
                rngs = nnx.Rngs(0)
                self.norm = nnx.BatchNorm(2, rngs=rngs)
                self.dense = nnx.Linear(2, 1, rngs=rngs)

            def __call__(self, x):
                return self.dense(self.norm(x))

        with pytest.warns(UserWarning, match="batch statistics"):
            _, weights = priors(net=Normalised(), start=None)
        assert "norm.scale" in weights
        assert "norm.mean" not in weights

    def test_single_precision_inside(self):
        with pytest.raises(FunctionError, match="single precision"):
            priors(net=nn.Dense(1, dtype=jnp.float32), start=None)

    def test_one_result_for_all_rows(self):
        with pytest.raises(FunctionError, match="one result for each row"):
            priors(net=lambda params, x: plain(params, x).sum())


class TestLikelihoods:
    def test_an_output_that_would_broadcast_against_the_observations(self):
        with pytest.raises(ShapeError, match=r"out\[\.\.\., 0\]"):
            observe(lambda out: pm.Normal.dist(out, 1.0))

    def test_more_than_the_network_returns(self):
        with pytest.raises(ShapeError, match="index 1 of an axis of length 1"):
            observe(lambda out: pm.Normal.dist(out[..., 0], out[..., 1]))

    def test_the_first_row_for_all(self):
        with pytest.raises(ShapeError, match=r"out\[\.\.\., 0\]"):
            observe(lambda out: pm.Normal.dist(out[0], 1.0))

    @pytest.mark.parametrize(
        "likelihood",
        [
            lambda out: out,
            lambda out: pm.Normal.dist(0.0, 1.0),
            pm.Normal.dist(0.0, 1.0),
            lambda out: pm.Normal.dist(pm.Normal.dist(out[..., 0]), 1.0),
        ],
        ids=["no distribution", "without the output", "no function", "a random parameter"],
    )
    def test_no_likelihood(self, likelihood):
        with pytest.raises(DistributionError, match="likelihood"):
            observe(likelihood)

    def test_another_number_of_rows(self):
        with pytest.raises(DataError, match="numbers of rows"):
            observe(y=Y[:5])

    def test_observations_that_are_no_numbers(self):
        with pytest.raises(DataError, match="array of numbers"):
            observe(y=["a"] * 7)


class TestWeights:
    def test_one_is_missing(self):
        with pytest.raises(ParameterError, match=r"'head\.kernel'"):
            observe(net=Linen(), weights={"hidden.kernel": np.ones((2, 3)), "hidden.bias": 0.0})

    def test_one_too_many(self):
        paths = {f"{a}.{b}": v for a, layer in PLAIN_START.items() for b, v in layer.items()}
        with pytest.raises(ParameterError, match=r"no such weight"):
            observe(net=Linen(), weights={**paths, "hidden.scale": np.ones(3)})

    def test_another_shape(self):
        paths = {f"{a}.{b}": v for a, layer in PLAIN_START.items() for b, v in layer.items()}
        with pytest.raises(ShapeError, match=r"hidden\.bias"):
            observe(net=Linen(), weights={**paths, "hidden.bias": np.zeros(4)})

    def test_not_finite(self):
        tree = {**PLAIN_START, "head": {"kernel": np.full((3, 1), np.inf), "bias": np.zeros(1)}}
        with pytest.raises(ParameterError, match="not finite"):
            observe(weights=tree)


class TestPredict:
    @pytest.fixture
    def model(self):
        with pm.Model() as model:
            weights = pmj.nn_priors("net", plain, X, start=PLAIN_START)
            pmj.NeuralNetObserved("y", plain, weights, X, likelihood=normal, observed=Y)
        return model

    def test_covariates_of_another_width(self, model):
        draws = xr.Dataset(
            {
                rv.name: (
                    ("chain", "draw", *(f"{rv.name}_{i}" for i in range(rv.ndim))),
                    np.zeros((1, 2, *rv.shape.eval())),
                )
                for rv in model.free_RVs
            }
        )
        with pytest.raises(ShapeError, match=r"\(N, 2\)"):
            pmj.predict({"posterior": draws}, "y", X=np.zeros((3, 5)), model=model)

    def test_draws_that_are_missing(self, model):
        posterior = xr.Dataset(coords={"chain": [0], "draw": [0]})
        with pytest.raises(ParameterError, match=r"net\.head\.bias"):
            pmj.predict({"posterior": posterior}, "y", model=model)

    def test_a_variable_that_is_no_network(self, model):
        with pytest.raises(ParameterError, match=r"'net\.head\.bias'"):
            pmj.posterior_pytree({"posterior": xr.Dataset()}, "net.head.bias", model=model)
