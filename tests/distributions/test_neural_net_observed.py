"""Networks of every kind with any likelihood: log-density, gradient, and what PyMC does."""

from functools import lru_cache

import cloudpickle
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.stats as st
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as hs
from numpy.testing import assert_allclose
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.traversal import ancestors

import pymc_jaxdist as pmj
from pymc_jaxdist.ops import LogDensity
from tests.distributions.compiled import FAST, relative_error, some_draws
from tests.distributions.four_networks import NETWORKS, PLAIN_START, as_layers, plain
from tests.reference.neural_network import convolve, multilayer_perceptron, normal_logpdf

N = 7
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2))
Y = RNG.normal(size=N)
QUIET = {"progressbar": False, "random_seed": 1}
MODES = {
    "C": lambda: Mode(linker="cvm", optimizer="fast_run"),
    "Numba": lambda: get_mode("NUMBA"),
    "JAX": lambda: get_mode("JAX"),
}


def build(kind="plain", x=X, y=Y, **kwargs):
    net, start, _ = NETWORKS[kind]()
    with pm.Model(coords={"row": range(N)}) as model:
        weights = pmj.nn_priors("net", net, x, start=start)
        sigma = pm.HalfNormal("sigma")
        pmj.NeuralNetObserved(
            "y",
            net,
            weights,
            x,
            likelihood=lambda out: pm.Normal.dist(out[..., 0], sigma),
            observed=y,
            **kwargs,
        )
    return model


@lru_cache
def compiled(kind):
    """The log-density of each row and the gradient of its sum, by value variables."""
    model = build(kind)
    (logp,) = model.logp(vars=model.observed_RVs, sum=False)
    inputs = model.value_vars
    outputs = [logp, *pt.grad(logp.sum(), inputs)]
    return model, pytensor.function(inputs, outputs, mode=FAST)


def numpy_rows(point, transposed, x=X, y=Y):
    weights = {name.removeprefix("net."): value for name, value in point.items()}
    out = multilayer_perceptron(x, as_layers(weights, transposed))[:, 0]
    return normal_logpdf(y, out, np.exp(point["sigma_log__"]))


def random_point(model, seed, scale):
    rng = np.random.default_rng(seed)
    return {
        name: scale * rng.normal(size=np.shape(value))
        for name, value in model.initial_point().items()
    }


@pytest.mark.parametrize("kind", NETWORKS)
@settings(max_examples=25)
@given(seed=hs.integers(0, 2**31), scale=hs.sampled_from([1e-2, 0.3, 1.0, 3.0]))
def test_log_density_is_that_of_numpy(kind, seed, scale):
    model, function = compiled(kind)
    point = random_point(model, seed, scale)
    value, *gradients = function(**point)
    transposed = kind == "equinox"
    assert relative_error(value, numpy_rows(point, transposed)) <= 1e-12
    direction = random_point(model, seed + 1, 1.0)
    step = 1e-6 / max(1.0, scale)
    ahead, behind = (
        numpy_rows({k: v + s * direction[k] for k, v in point.items()}, transposed).sum()
        for s in (step, -step)
    )
    slope = sum(
        (g * direction[v.name]).sum() for g, v in zip(gradients, model.value_vars, strict=True)
    )
    size = 1 + abs(value).sum()
    assert abs(slope - (ahead - behind) / (2 * step)) <= 1e-6 * max(size, abs(slope))


@pytest.mark.parametrize("kind", ["linen", "equinox"])
@pytest.mark.parametrize("mode", MODES)
def test_one_node_in_every_mode(kind, mode):
    model = build(kind)
    logp = model.logp(vars=model.observed_RVs)
    inputs = model.value_vars
    function = pytensor.function(
        inputs, [logp, *pt.grad(logp, inputs)], mode=MODES[mode](), on_unused_input="ignore"
    )
    nodes = [n for n in function.maker.fgraph.toposort() if isinstance(n.op, LogDensity)]
    assert len(nodes) == 1
    point = random_point(model, 1, 0.5)
    value, *gradients = function(**point)
    expected, *expected_gradients = compiled(kind)[1](**point)
    assert_allclose(value, expected.sum(), rtol=1e-12)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert_allclose(gradient, expected_gradient, rtol=1e-10, atol=1e-12)


class Convolutional(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Conv(2, (3, 3), padding="VALID", name="conv")(x))
        return nn.Dense(3, name="head")(x.reshape(len(x), -1))


def test_a_convolutional_network_of_images():
    images = RNG.normal(size=(4, 5, 5, 1))
    labels = np.array([0, 2, 1, 1])
    with pm.Model() as model:
        weights = pmj.nn_priors("cnn", Convolutional(), images)
        pmj.NeuralNetObserved(
            "label",
            Convolutional(),
            weights,
            images,
            likelihood=lambda out: pm.Categorical.dist(logit_p=out),
            observed=labels,
        )
    (logp,) = model.logp(vars=model.observed_RVs, sum=False)
    function = pytensor.function(model.value_vars, logp, mode=FAST)
    point = random_point(model, 3, 0.5)
    w = {name.removeprefix("cnn."): value for name, value in point.items()}
    hidden = np.tanh(convolve(images, w["conv.kernel"], w["conv.bias"])).reshape(4, -1)
    logits = hidden @ w["head.kernel"] + w["head.bias"]
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert relative_error(function(**point), expected[np.arange(4), labels]) <= 1e-12


# PyTensor makes float32 of a Python number that fits, and PyMC's densities then compute in it.
TWO, FOUR = np.float64(2), np.float64(4)

LIKELIHOODS = {
    "Poisson": (
        lambda out: pm.Poisson.dist(pt.exp(out[..., 0])),
        np.arange(N),
        lambda out, y: st.poisson.logpmf(y, np.exp(out[:, 0])),
    ),
    "StudentT": (
        lambda out: pm.StudentT.dist(nu=FOUR, mu=out[..., 0], sigma=pt.softplus(out[..., 1])),
        Y,
        lambda out, y: st.t.logpdf(y, 4, out[:, 0], np.log1p(np.exp(out[:, 1]))),
    ),
    "Normal of two columns": (
        lambda out: pm.Normal.dist(out, [1.0, 2.0]),
        RNG.normal(size=(N, 2)),
        lambda out, y: st.norm.logpdf(y, out, [1.0, 2.0]).sum(-1),
    ),
    "MvNormal": (
        lambda out: pm.MvNormal.dist(out, np.eye(2) + 0.5),
        RNG.normal(size=(N, 2)),
        lambda out, y: st.multivariate_normal(np.zeros(2), np.eye(2) + 0.5).logpdf(y - out),
    ),
    "Mixture": (
        lambda out: pm.Mixture.dist(
            [0.3, 0.7], [pm.Normal.dist(out[..., 0], 1.0), pm.Normal.dist(out[..., 1], TWO)]
        ),
        Y,
        lambda out, y: np.log(
            0.3 * st.norm.pdf(y, out[:, 0], 1) + 0.7 * st.norm.pdf(y, out[:, 1], 2)
        ),
    ),
    "Censored": (
        lambda out: pm.Censored.dist(pm.Normal.dist(out[..., 0], 1.0), lower=-1.0, upper=None),
        np.maximum(Y, -1.0),
        lambda out, y: np.where(
            y > -1, st.norm.logpdf(y, out[:, 0]), st.norm.logcdf(-1, out[:, 0])
        ),
    ),
}


def linear(params, x):
    return x @ params["kernel"]


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods(name):
    likelihood, y, reference = LIKELIHOODS[name]
    with pm.Model() as model:
        weights = pmj.nn_priors("net", linear, X, start={"kernel": np.eye(2) / 2})
        pmj.NeuralNetObserved("y", linear, weights, X, likelihood=likelihood, observed=y)
    (logp,) = model.logp(vars=model.observed_RVs, sum=False)
    function = pytensor.function(
        model.value_vars, [logp, pt.grad(logp.sum(), model.value_vars)[0]], mode=FAST
    )
    kernel = np.array([[0.5, -0.3], [0.2, 0.4]])
    value, gradient = function(kernel)
    assert_allclose(value, reference(X @ kernel, y), rtol=1e-12)
    step = 1e-6 * np.eye(2)
    slope = (reference(X @ (kernel + step), y) - reference(X @ (kernel - step), y)).sum() / 2e-6
    assert_allclose(np.trace(gradient), slope, rtol=1e-6)


def test_a_network_of_several_outputs():
    """As in the documentation of NumPyro's random_flax_module: mean and scale as a tuple."""

    def mean_and_scale(params, x):
        return x @ params["mean"], x @ params["scale"]

    start = {"mean": np.ones(2), "scale": np.ones(2)}
    with pm.Model() as model:
        weights = pmj.nn_priors("net", mean_and_scale, X, start=start)
        pmj.NeuralNetObserved(
            "y",
            mean_and_scale,
            weights,
            X,
            likelihood=lambda out: pm.Normal.dist(out[0], pt.softplus(out[1])),
            observed=Y,
        )
    expected = st.norm.logpdf(Y, X.sum(1), np.log1p(np.exp(X.sum(1)))).sum()
    assert_allclose(model.point_logps(round_vals=10)["y"], expected, rtol=1e-9)


@pytest.fixture(scope="module")
def model():
    return build("linen", dims="row")


@pytest.fixture(scope="module")
def idata(model):
    return some_draws(model, 40)


class TestPyMC:
    def test_names_itself(self, model):
        assert model["y"].str_repr().startswith("y ~ NeuralNetObserved(")

    def test_log_likelihood_is_per_row(self, model, idata):
        with model:
            likelihood = pm.compute_log_likelihood(
                idata, extend_inferencedata=False, progressbar=False
            )
        assert likelihood["y"].dims == ("chain", "draw", "row")
        draw = idata["posterior"].isel(chain=1, draw=5)
        point = {name: draw[name].values for name in draw.data_vars}
        point["sigma_log__"] = np.log(point.pop("sigma"))
        assert_allclose(likelihood["y"][1, 5], numpy_rows(point, False), rtol=1e-12)

    def test_predictive_draws(self, model, idata):
        with model:
            predictive = pm.sample_posterior_predictive(idata, var_names=["y"], **QUIET)
            prior = pm.sample_prior_predictive(4, random_seed=1)
        assert predictive["posterior_predictive"]["y"].dims == ("chain", "draw", "row")
        draws = prior["prior_predictive"]["y"].values
        assert len(np.unique(draws)) == draws.size

    def test_new_covariates(self, idata):
        with pm.Model() as model:
            data = pm.Data("X", X)
            weights = pmj.nn_priors("net", NETWORKS["linen"]()[0], data)
            sigma = pm.HalfNormal("sigma")
            pmj.NeuralNetObserved(
                "y",
                NETWORKS["linen"]()[0],
                weights,
                data,
                likelihood=lambda out: pm.Normal.dist(out[..., 0], 0.001 + 0 * sigma),
                observed=pm.Data("Y", Y),
            )
            pm.set_data({"X": X[:2], "Y": Y[:2]})
            predictive = pm.sample_posterior_predictive(idata, var_names=["y"], **QUIET)
        draws = predictive["posterior_predictive"]["y"]
        assert draws.shape == (2, 40, 2)
        out = pmj.predict(idata, "y", X=X[:2], model=model)["y"][..., 0]
        assert_allclose(draws, out, atol=0.01)

    def test_minibatch(self):
        x, y = np.tile(X[:1], (20, 1)), np.tile(Y[:1], 20)
        whole = build(x=x, y=y)
        batches = pm.Minibatch(x, y, batch_size=5)
        model = build(x=batches[0], y=batches[1], total_size=20)
        assert_allclose(model.point_logps()["y"], whole.point_logps()["y"], rtol=1e-3)
        with model:
            fit = pm.fit(30, method="advi", **QUIET)
        assert np.isfinite(fit.hist).all()

    def test_maximum_a_posteriori_starts_at_the_weights(self):
        model = build("equinox")
        net = NETWORKS["equinox"]()[0]
        assert_allclose(model.initial_point()["net.hidden.weight"], net.hidden.weight)
        with model:
            estimate = pm.find_MAP(progressbar=False)
        gradient = model.compile_dlogp(jacobian=False)
        slope = gradient({v.name: estimate[v.name] for v in model.value_vars})
        assert_allclose(slope, 0, atol=0.05)

    def test_missing_observations_are_left_out(self):
        gappy = Y.copy()
        gappy[2] = np.nan
        present = np.delete(np.arange(N), 2)
        expected = build(x=X[present], y=Y[present]).point_logps()["y"]
        assert_allclose(build(y=gappy).point_logps()["y"], expected)

    def test_pickled_and_copied(self, model):
        copied = cloudpickle.loads(cloudpickle.dumps(model))
        assert_allclose(copied.point_logps()["y"], model.point_logps()["y"])
        intervened = pm.do(model, {"sigma": 2.0})
        assert "sigma" not in [rv.name for rv in intervened.free_RVs]

    @pytest.mark.slow
    def test_second_derivatives(self, model):
        point = model.initial_point()
        hessian = model.compile_fn(model.d2logp(negate_output=False), mode=FAST)(point)
        gradient = model.compile_fn(model.dlogp(), mode=FAST)
        names = [v.name for v in model.value_vars]
        position = sum(point[n].size for n in names[: names.index("net.head.bias")])
        ahead, behind = dict(point), dict(point)
        ahead["net.head.bias"] = point["net.head.bias"] + 1e-5
        behind["net.head.bias"] = point["net.head.bias"] - 1e-5
        expected = (gradient(ahead) - gradient(behind)) / 2e-5
        assert_allclose(hessian[:, position], expected, rtol=1e-5, atol=1e-6)

    def test_rebuilding_the_model_compiles_nothing_again(self):
        assert log_density_op(build("nnx")) == log_density_op(build("nnx"))


def log_density_op(model):
    graph = model.logp(vars=model.observed_RVs)
    nodes = [v.owner for v in ancestors([graph]) if v.owner is not None]
    return next(node.op for node in nodes if isinstance(node.op, LogDensity))


def test_an_equinox_network_with_functions_among_its_leaves():
    net = eqx.nn.MLP(2, 1, 3, 1, activation=jnp.tanh, key=jax.random.key(0))
    with pm.Model() as model:
        weights = pmj.nn_priors("net", net, X)
        pmj.NeuralNetObserved(
            "y",
            net,
            weights,
            X,
            likelihood=lambda out: pm.Normal.dist(out[..., 0], np.float64(2)),
            observed=Y,
        )
    expected = st.norm.logpdf(Y, np.asarray(jax.vmap(net)(jnp.asarray(X)))[:, 0], 2.0).sum()
    assert_allclose(model.point_logps(round_vals=8)["y"], expected, rtol=1e-6)


def test_weights_need_no_priors_of_ours():
    """Weights by dotted path, or in the structure of the network, may come from anywhere."""
    with pm.Model() as model:
        tau = pm.HalfNormal("tau")
        z = pm.Normal("z", shape=(2, 3))
        tree = {**PLAIN_START, "hidden": {"kernel": tau * z, "bias": np.zeros(3)}}
        normal = lambda out: pm.Normal.dist(out[..., 0], 1.0)  # noqa: E731
        pmj.NeuralNetObserved("a", plain, tree, X, likelihood=normal, observed=Y)
        paths = {
            "hidden.kernel": tau * z,
            "hidden.bias": np.zeros(3),
            "head.kernel": PLAIN_START["head"]["kernel"],
            "head.bias": np.zeros(1),
        }
        linen = NETWORKS["linen"]()[0]
        pmj.NeuralNetObserved("b", linen, paths, X, likelihood=normal, observed=Y)
    logps = model.point_logps(point={"tau_log__": 0.1, "z": np.ones((2, 3))}, round_vals=8)
    assert_allclose(logps["a"], logps["b"])
