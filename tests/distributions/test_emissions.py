"""Any PyMC distribution as emission: its own log-density under every state, and its draws."""

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.interpolate import BSpline

import pymc_jaxdist as pmj
from pymc_jaxdist.distributions.emission import EmissionDistribution
from tests.distributions.compiled import FAST, evaluate, logp_of, wide_constants
from tests.reference import hidden_markov as reference
from tests.reference.differences import central_difference
from tests.slow_cases import slow_except

# How PyMC 5 itself draws from a hurdle distribution.
pytestmark = pytest.mark.filterwarnings("ignore:Scan return signature:DeprecationWarning")

K, T = 3, 5
MATRIX = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])
START = np.array([0.2, 0.3, 0.5])

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=T)
POSITIVE = RNG.gamma(2.0, size=T)
UNIT = RNG.uniform(0.1, 0.9, size=T)
COUNTS = np.array([0, 2, 1, 0, 4])
MU = np.array([-1.0, 0.2, 1.5])
POSITIVES = np.array([0.5, 1.3, 2.0])
PROBS = np.array([0.2, 0.5, 0.9])
SIMPLEXES = RNG.dirichlet(np.ones(4), size=K)
WEIGHTS = RNG.dirichlet(np.ones(2), size=K)
SPLINES = BSpline.design_matrix(np.linspace(0, 1, T), [0] * 4 + [1] * 4, 3).toarray()


def gumbel(y, mu, beta):
    z = (y - mu) / beta
    return -jnp.log(beta) - z - jnp.exp(-z)


def draw_gumbel(mu, beta, rng, size):
    return rng.gumbel(mu, beta, size=size)


# Each entry: parameters that become inputs of the graph, the emission made of them, the data.
EMISSIONS = {
    "Normal": ([MU, POSITIVES], pm.Normal.dist, REAL),
    "StudentT": ([MU, POSITIVES], lambda m, s: pm.StudentT.dist(nu=4, mu=m, sigma=s), REAL),
    "LogNormal": ([MU], lambda m: pm.LogNormal.dist(m, 1.0), POSITIVE),
    "Gamma": ([POSITIVES, POSITIVES], lambda m, s: pm.Gamma.dist(mu=m, sigma=s), POSITIVE),
    "Beta": ([POSITIVES, POSITIVES], pm.Beta.dist, UNIT),
    "VonMises": ([MU, POSITIVES], pm.VonMises.dist, REAL),
    "Exponential": ([POSITIVES], pm.Exponential.dist, POSITIVE),
    "Poisson": ([POSITIVES], pm.Poisson.dist, COUNTS),
    "NegativeBinomial": (
        [POSITIVES, np.array(2.0)],
        lambda m, a: pm.NegativeBinomial.dist(mu=m, alpha=a),
        COUNTS,
    ),
    "Binomial": ([PROBS], lambda p: pm.Binomial.dist(6, p), COUNTS),
    "Bernoulli": ([PROBS], pm.Bernoulli.dist, COUNTS > 0),
    "Categorical": ([SIMPLEXES], lambda p: pm.Categorical.dist(p=p), np.minimum(COUNTS, 3)),
    "ZeroInflatedPoisson": (
        [PROBS, POSITIVES],
        lambda p, r: pm.ZeroInflatedPoisson.dist(psi=p, mu=r),
        COUNTS,
    ),
    "ZeroInflatedNegativeBinomial": (
        [PROBS, POSITIVES],
        lambda p, m: pm.ZeroInflatedNegativeBinomial.dist(psi=p, mu=m, alpha=2.0),
        COUNTS,
    ),
    "HurdlePoisson": (
        [PROBS, POSITIVES],
        lambda p, r: pm.HurdlePoisson.dist(psi=p, mu=r),
        COUNTS,
    ),
    "Truncated": (
        [MU, POSITIVES],
        lambda m, s: pm.Truncated.dist(pm.Normal.dist(m, s), lower=0.0),
        POSITIVE,
    ),
    "Censored": (
        [MU, POSITIVES],
        lambda m, s: pm.Censored.dist(pm.Normal.dist(m, s), lower=None, upper=0.5),
        np.minimum(REAL, 0.5),
    ),
    "Mixture of one family": (
        [WEIGHTS, np.stack([MU, MU + 1], -1)],
        lambda w, m: pm.Mixture.dist(w, comp_dists=pm.Normal.dist(m, 1.0)),
        REAL,
    ),
    "Mixture of two families": (
        [WEIGHTS, MU, POSITIVES],
        lambda w, m, s: pm.Mixture.dist(
            w, comp_dists=[pm.Normal.dist(m, s), pm.StudentT.dist(3.0, m)]
        ),
        REAL,
    ),
    "MvNormal": (
        [np.stack([MU, -MU], -1)],
        lambda m: pm.MvNormal.dist(m, cov=np.array([[2.0, 0.5], [0.5, 1.0]])),
        RNG.normal(size=(T, 2)),
    ),
    "MvNormal by Cholesky factors": (
        [POSITIVES],
        lambda s: pm.MvNormal.dist(np.zeros((K, 2)), chol=s[:, None, None] * np.eye(2)),
        RNG.normal(size=(T, 2)),
    ),
    "Dirichlet": (
        [1.0 + SIMPLEXES],
        pm.Dirichlet.dist,
        RNG.dirichlet(np.ones(4), size=T),
    ),
    "regression": (
        [np.array([0.3, -0.2, 0.1]), POSITIVES],
        lambda b, s: pm.Normal.dist(np.linspace(-1, 1, T)[:, None] * b, s),
        REAL,
    ),
    "spline": (
        [RNG.normal(size=(4, K)), POSITIVES],
        lambda b, s: pm.Normal.dist(SPLINES @ b, s),
        REAL,
    ),
    "a JAX function": (
        [MU, POSITIVES],
        lambda m, b: pmj.JaxDist.dist(gumbel, m, b, random=draw_gumbel),
        REAL,
    ),
    "a parameter the states share": ([MU, np.array(0.7)], pm.Normal.dist, REAL),
    "one distribution for all states": ([np.array(0.7)], lambda s: pm.Normal.dist(0.0, s), REAL),
}


def symbols(values):
    return [pt.tensor(shape=value.shape, dtype="float64") for value in values]


@pytest.fixture(
    params=slow_except(
        EMISSIONS,
        "Normal",
        "Poisson",
        "Categorical",
        "ZeroInflatedPoisson",
        "Censored",
        "Mixture of two families",
        "MvNormal",
        "regression",
        "a JAX function",
    )
)
def case(request):
    values, build, data = EMISSIONS[request.param]
    return values, build, np.asarray(data) + 0  # booleans become integers


def test_log_density_is_that_of_pymc_under_every_state(case):
    values, build, data = case
    with wide_constants():
        emission = build(*(pt.constant(v) for v in values))
        ll = evaluate(pm.logp(emission, np.expand_dims(data, 1)))
        inputs = symbols(values)
        # Here, too: PyMC makes parameters of others, such as log(alpha), before we see them.
        hmm = pmj.MarginalHMM.dist(build(*inputs), MATRIX, START, shape=data.shape)
    event_ndim = data.ndim - 1
    ll = np.broadcast_to(ll, (T, K))
    logp = pm.logp(hmm, data)
    function = pytensor.function(inputs, [logp, *pt.grad(logp, inputs)], mode=FAST)
    value, *gradients = function(*values)
    assert event_ndim == EmissionDistribution.cut(emission, "a test")[0].event_ndim
    assert_allclose(value, reference.log_likelihood(ll, START, MATRIX), rtol=1e-12)
    for position, gradient in enumerate(gradients):

        def moved(x, position=position):
            changed = [*values[:position], x, *values[position + 1 :]]
            return function(*changed)[0]

        if is_on_simplex(values[position]):
            assert np.isfinite(gradient).all()  # off the simplex the density is -inf
        else:
            expected = central_difference(moved, values[position])
            assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("emission", "frozen"),
    [
        (lambda: pm.Normal.dist([0.0, 0.0], 1.5), stats.norm(0, 1.5)),
        (lambda: pm.Normal.dist([0.0, 0.0], 3), stats.norm(0, 3)),
        (lambda: pm.StudentT.dist(3, np.float32([0, 0]), sigma=2), stats.t(3, 0, 2)),
        (lambda: pm.Poisson.dist(np.int8([3, 3])), stats.poisson(3)),
        (lambda: pm.DiscreteUniform.dist([0, 0], 6), stats.randint(0, 7)),
        (
            lambda: pm.Truncated.dist(pm.Normal.dist([0.0, 0.0], 3), lower=-1, upper=9),
            stats.truncnorm(-1 / 3, 3, 0, 3),
        ),
    ],
)
def test_numbers_that_few_bytes_hold_lose_no_digits(emission, frozen):
    """PyTensor computes log(1.5) and log(2) in single precision, which is off by 1e-8."""
    data = np.array([0.0, 1.0, 4.0])
    log_density = frozen.logpmf if emission().dtype.startswith("int") else frozen.logpdf
    hmm = pmj.MarginalHMM.dist(emission(), np.eye(2), [1.0, 0.0], shape=3)
    assert_allclose(logp_of(hmm, data), log_density(data).sum(), rtol=1e-14)


def custom(mu):
    def draw(mu, size):
        return pm.Normal.dist(mu, 1.0, size=size) * 2.0 + 1.0

    return pm.CustomDist.dist(mu, dist=draw)


OF_MODEL_VARIABLES = {
    name: EMISSIONS[name]
    for name in (
        "Normal",
        "Censored",
        "Truncated",
        "ZeroInflatedPoisson",
        "HurdlePoisson",
        "Mixture of two families",
        "MvNormal",
    )
} | {
    "LogitNormal": ([MU], lambda m: pm.LogitNormal.dist(m, 1.0), UNIT),
    "a CustomDist": ([MU], custom, REAL),
    "Censored StudentT": (
        [MU],
        lambda m: pm.Censored.dist(pm.StudentT.dist(4.0, mu=m, sigma=1.0), lower=-0.5, upper=None),
        np.maximum(REAL, -0.5),
    ),
}


@pytest.mark.parametrize(
    "name",
    slow_except(
        OF_MODEL_VARIABLES,
        "Normal",
        "Mixture of two families",
        "MvNormal",
        "a CustomDist",
    ),
)
def test_parameters_that_are_variables_of_the_model(name):
    """PyMC rewrites some densities into graphs of copies, which must lead back to the model."""
    values, build, data = OF_MODEL_VARIABLES[name]
    with pm.Model() as model:
        parameters = [pm.Flat(f"p{i}", shape=v.shape) for i, v in enumerate(values)]
        y = pmj.MarginalHMM("y", build(*parameters), MATRIX, START, observed=np.asarray(data) + 0)
    point = {f"p{i}": v for i, v in enumerate(values)}
    logp = model.compile_fn(model.logp(vars=[y]), mode=FAST)
    gradient = model.compile_fn(model.dlogp(), mode=FAST)(point)
    with wide_constants():
        emission = build(*(pt.constant(v) for v in values))
        ll = evaluate(pm.logp(emission, np.expand_dims(np.asarray(data) + 0, 1)))
    expected = reference.log_likelihood(np.broadcast_to(ll, (T, K)), START, MATRIX)
    assert_allclose(logp(point), expected, rtol=1e-12)
    if not any(is_on_simplex(v) for v in values):
        differences = [
            central_difference(lambda x, i=i: logp({**point, f"p{i}": x}), v).ravel()
            for i, v in enumerate(values)
        ]
        assert_allclose(gradient, np.concatenate(differences), rtol=1e-6, atol=1e-7)


def is_on_simplex(value):
    return value.ndim == 2 and np.allclose(value.sum(-1), 1)


def test_draws_have_the_shape_and_type_of_the_data(case):
    values, build, data = case
    hmm = pmj.MarginalHMM.dist(
        build(*(pt.constant(v) for v in values)), MATRIX, START, shape=(2, *data.shape)
    )
    draw = evaluate(hmm)
    assert draw.shape == (2, *data.shape)
    assert draw.dtype.kind == hmm.dtype[0] == ("i" if data.dtype.kind == "i" else "f")
    assert np.isfinite(logp_of(hmm, draw)).all()


def test_equal_emissions_share_one_compiled_kernel(case):
    values, build, _ = case
    kernels = []
    for _ in range(2):
        emission, parameters = EmissionDistribution.cut(build(*symbols(values)), "a test")
        kernels.append(emission.kernel(1, parameters))
    assert kernels[0] == kernels[1]
    assert hash(kernels[0]) == hash(kernels[1])


def test_hierarchical_parameters_reach_the_gradient():
    with pm.Model() as model:
        centre = pm.Normal("centre")
        mu = pm.Normal("mu", centre, 1.0, shape=K)
        scale = pm.Data("scale", 2.0)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, scale), MATRIX, START, observed=REAL)
    point = {"centre": np.array(0.1), "mu": MU}
    logp = model.compile_fn(model.logp(), mode=FAST)
    gradient = model.compile_fn(model.dlogp(), mode=FAST)(point)
    expected = central_difference(lambda m: logp({**point, "mu": m}), MU)
    assert_allclose(gradient[1:], expected, rtol=1e-8)
    before = logp(point)
    with model:
        pm.set_data({"scale": 1.0})
    assert logp(point) != before


def test_channels_of_mixed_families():
    def build():
        return pm.Normal.dist(MU, 1.0), pm.Poisson.dist(POSITIVES), pm.VonMises.dist(MU, 1.0)

    data = np.stack([REAL, COUNTS, REAL], axis=-1)
    hmm = pmj.MarginalHMM.dist(build(), MATRIX, START, shape=data.shape)
    with wide_constants():
        ll = sum(
            evaluate(pm.logp(one, column[:, None].astype(one.dtype)))
            for one, column in zip(build(), data.T, strict=True)
        )
    assert_allclose(logp_of(hmm, data), reference.log_likelihood(ll, START, MATRIX), rtol=1e-12)
    assert evaluate(hmm).shape == data.shape


def test_an_observation_outside_the_support_is_impossible():
    hmm = pmj.MarginalHMM.dist(pm.Gamma.dist(POSITIVES, 1.0), MATRIX, START, shape=3)
    assert logp_of(hmm, np.array([1.0, -1.0, 1.0])) == -np.inf


def test_a_fraction_among_counts_is_impossible():
    with pm.Model() as model:
        data = pm.Data("data", [1.0, 2.0, 3.0])
        pmj.MarginalHMM("y", pm.Poisson.dist(POSITIVES), MATRIX, START, observed=data)
    logp = model.compile_fn(model.logp(), mode=FAST)
    assert np.isfinite(logp({}))
    with model:
        pm.set_data({"data": [1.0, 2.5, 3.0]})
    assert logp({}) == -np.inf
