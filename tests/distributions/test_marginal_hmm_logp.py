"""The log-density of MarginalHMM: shapes, missing data, lengths, known states, exact gradients."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from tests.distributions.compiled import (
    FAST,
    evaluate,
    function_of,
    logp_of,
    relative_error,
    tensor,
    with_gradients,
)
from tests.reference import hidden_markov as reference
from tests.reference.differences import central_difference

MATRIX = np.array([[0.9, 0.1], [0.2, 0.8]])
START = np.array([0.3, 0.7])
MU = np.array([0.0, 3.0])

# Shapes of (y, mu, sigma, initial_probs, transition_matrix) for K = 2 or 3, every broadcast.
SHAPES = {
    "one sequence": ((7,), (2,), (), (2,), (2, 2)),
    "sequences": ((4, 7), (2,), (2,), (2,), (2, 2)),
    "two batch dimensions": ((2, 3, 5), (3,), (), (3,), (3, 3)),
    "time-varying": ((4, 6), (6, 2), (2,), (2,), (5, 2, 2)),
    "per sequence": ((3, 5), (3, 1, 2), (3, 1, 1), (3, 2), (3, 1, 2, 2)),
    "everything": ((3, 5), (3, 5, 2), (5, 1), (3, 2), (3, 4, 2, 2)),
    "one time": ((3, 1), (2,), (), (2,), (2, 2)),
    "one state": ((3, 4), (1,), (), (1,), (1, 1)),
}


def build(name):
    names = ("y", "mu", "sigma", "initial_probs", "transition_matrix")
    y, mu, sigma, start, matrix = inputs = [
        tensor(n, shape) for n, shape in zip(names, SHAPES[name], strict=True)
    ]
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist(mu, sigma), matrix, start, shape=SHAPES[name][0])
    return inputs, with_gradients(pm.logp(hmm, y), inputs)


def log_likelihoods(y, mu, sigma):
    """Normal emission terms (..., T, K), 0 where y is missing."""
    ll = stats.norm.logpdf(y[..., None], mu, sigma)
    return np.where(np.isnan(y)[..., None], 0.0, ll)


def reference_logp(y, mu, sigma, start, matrix):
    """Log-density of each sequence by the forward algorithm."""
    batch, n_states = y.shape[:-1], matrix.shape[-1]
    ll = np.broadcast_to(log_likelihoods(y, mu, sigma), (*y.shape, n_states))
    starts = np.broadcast_to(start, (*batch, n_states))
    matrix = matrix if matrix.ndim > 2 else matrix[None]
    matrices = np.broadcast_to(matrix, (*batch, *matrix.shape[-3:]))
    values = [reference.log_likelihood(ll[i], starts[i], matrices[i]) for i in np.ndindex(*batch)]
    return np.reshape(values, batch)


@given(
    name=st.sampled_from(sorted(SHAPES)),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.1, 1.0, 30.0]),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
    zeros=st.booleans(),
)
@example(name="per sequence", seed=0, spread=1.0, missing=1.0, zeros=False)
def test_value_and_gradient(name, seed, spread, missing, zeros):
    arguments = draw_arguments(name, seed, spread, missing, zeros)
    value, *gradients = function_of(build, name)(*arguments)
    assert relative_error(value, reference_logp(*arguments)) <= 1e-12
    assert all(np.isfinite(g).all() for g in gradients)


def draw_arguments(name, seed, spread, missing, zeros):
    rng = np.random.default_rng(seed)
    y_shape, mu_shape, sigma_shape, start_shape, matrix_shape = SHAPES[name]
    y = rng.normal(scale=2.0, size=y_shape)
    y[rng.random(y_shape) < missing] = np.nan
    mu = rng.normal(scale=spread, size=mu_shape)
    sigma = rng.uniform(0.5, 2.0, size=sigma_shape)
    start = rng.dirichlet(np.ones(start_shape[-1]), size=start_shape[:-1])
    matrix = rng.dirichlet(np.ones(matrix_shape[-1]), size=matrix_shape[:-1])
    if zeros and matrix_shape[-1] > 1:  # left to right, from the first state
        matrix = np.triu(matrix)
        matrix /= matrix.sum(-1, keepdims=True)
        start = np.zeros_like(start)
        start[..., 0] = 1.0
    return y, mu, sigma, start, matrix


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_those_of_central_differences(name):
    arguments = draw_arguments(name, 5, 1.0, 0.2, False)
    _, *gradients = function_of(build, name)(*arguments)
    for position in (1, 2, 3):  # a matrix moved off the simplex is refused: see below

        def moved(x, position=position):
            changed = [*arguments]
            changed[position] = x / x.sum(-1, keepdims=True) if position == 3 else x
            return reference_logp(*changed).sum()

        gradient = gradients[position]
        if position == 3:  # the reference moves along the simplex
            start = arguments[3]
            gradient = gradient - (gradient * start).sum(-1, keepdims=True)
        expected = central_difference(moved, arguments[position])
        assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_gradient_of_the_transition_matrix_is_the_expected_counts():
    y, mu, sigma, start, matrix = draw_arguments("one sequence", 5, 1.0, 0.2, False)
    gradient = function_of(build, "one sequence")(y, mu, sigma, start, matrix)[-1]
    ll = log_likelihoods(y, mu, sigma)
    assert_allclose(gradient, reference.gradient(ll, start, matrix)[2], rtol=1e-10)


class TestMissingData:
    y = np.random.default_rng(1).normal(size=(3, 6))

    def logp(self, y, **kwargs):
        with pm.Model() as model:
            pmj.MarginalHMM("y", pm.Normal.dist(MU, 1.0), MATRIX, START, observed=y, **kwargs)
        (logp,) = model.logp(sum=False)
        return model, evaluate(logp)

    def test_nan_is_summed_out_and_not_imputed(self):
        y = self.y.copy()
        y[0, 2] = np.nan
        model, logp = self.logp(y)
        assert [v.name for v in model.basic_RVs] == ["y"]
        expected = reference_logp(y, MU, 1.0, START, MATRIX)
        assert_allclose(logp, expected, rtol=1e-13)

    def test_masked_array(self):
        masked = np.ma.masked_greater(self.y, 0.5)
        _, logp = self.logp(masked)
        assert_allclose(logp, self.logp(masked.filled(np.nan))[1])

    def test_a_missing_sequence_has_log_density_zero(self):
        y = self.y.copy()
        y[1] = np.nan
        _, logp = self.logp(y)
        assert_allclose(logp[1], 0.0, atol=1e-15)

    def test_summing_over_the_values_of_a_missing_count(self):
        counts = np.array([2.0, np.nan, 1.0])
        emission = pm.Poisson.dist([1.0, 4.0])
        with pm.Model() as model:
            pmj.MarginalHMM("y", emission, MATRIX, START, observed=counts)
        filled = np.tile(counts, (60, 1))
        filled[:, 1] = np.arange(60)
        batch = pmj.MarginalHMM.dist(emission, MATRIX, START, shape=(60, 3))
        summed = np.log(np.exp(logp_of(batch, filled.astype(int))).sum())
        assert_allclose(evaluate(model.logp()), summed, rtol=1e-12)

    def test_each_channel_is_missing_by_itself(self):
        y = np.array([[0.1, 2.0], [np.nan, 1.0], [0.3, np.nan], [np.nan, np.nan]])
        emission = (pm.Normal.dist(MU, 1.0), pm.Poisson.dist([1.0, 4.0]))
        hmm = pmj.MarginalHMM.dist(emission, MATRIX, START, shape=(4, 2))
        counts = stats.poisson.logpmf(np.nan_to_num(y[:, 1:]), [1.0, 4.0])
        ll = log_likelihoods(y[:, 0], MU, 1.0) + np.where(np.isnan(y[:, 1:]), 0.0, counts)
        assert_allclose(logp_of(hmm, y), reference.log_likelihood(ll, START, MATRIX))

    def test_counts_with_gaps_are_observed_as_floats(self):
        with pm.Model() as model:
            y = pmj.MarginalHMM(
                "y", pm.Poisson.dist([1.0, 4.0]), MATRIX, observed=[1.0, np.nan, 3.0]
            )
        assert y.dtype == "float64"
        assert np.isfinite(model.point_logps()["y"])


class TestLengths:
    y = np.random.default_rng(2).normal(size=(4, 6))
    lengths = np.array([6, 3, 1, 0])

    def test_padding_does_not_matter(self):
        padded = self.y.copy()
        padded[np.arange(6) >= self.lengths[:, None]] = 1e6
        hmm = pmj.MarginalHMM.dist(
            pm.Normal.dist(MU, 1.0), MATRIX, START, lengths=self.lengths, shape=(4, 6)
        )
        expected = [
            reference_logp(y[:n], MU, 1.0, START, MATRIX) if n else 0.0
            for y, n in zip(self.y, self.lengths, strict=True)
        ]
        assert_allclose(logp_of(hmm, padded), expected, rtol=1e-13)
        assert_allclose(logp_of(hmm, np.where(padded == 1e6, np.nan, padded)), expected)

    def test_padding_has_no_gradient(self):
        mu = pt.dvector("mu")
        padded = self.y.copy()
        padded[np.arange(6) >= self.lengths[:, None]] = 1e3

        def gradient(y, **kwargs):
            hmm = pmj.MarginalHMM.dist(pm.Normal.dist(mu, 1.0), MATRIX, START, **kwargs)
            return pytensor.function([mu], pt.grad(pm.logp(hmm, y).sum(), mu), mode=FAST)

        whole = gradient(padded, lengths=self.lengths, shape=(4, 6))(MU)
        parts = [
            gradient(y[:n], shape=(n,))(MU) for y, n in zip(self.y, self.lengths, strict=True) if n
        ]
        assert_allclose(whole, np.sum(parts, axis=0), rtol=1e-12)


class TestAllowedStates:
    y = np.random.default_rng(3).normal(size=5)
    labels = np.array([-1, 0, 1, -1, 1])

    def expected(self, mask):
        ll = np.where(mask, log_likelihoods(self.y, MU, 1.0), -np.inf)
        return reference.log_likelihood(ll, START, MATRIX)

    def logp(self, allowed_states):
        hmm = pmj.MarginalHMM.dist(
            pm.Normal.dist(MU, 1.0), MATRIX, START, allowed_states=allowed_states, shape=5
        )
        return logp_of(hmm, self.y)

    def test_labels(self):
        mask = (self.labels[:, None] == np.arange(2)) | (self.labels[:, None] < 0)
        assert_allclose(self.logp(self.labels), self.expected(mask), rtol=1e-13)

    def test_mask(self):
        mask = np.array([[1, 1], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=bool)
        assert_allclose(self.logp(mask), self.expected(mask), rtol=1e-13)

    def test_labels_of_every_time_make_it_a_fully_observed_chain(self):
        path = np.array([0, 0, 1, 1, 0])
        expected = np.log(START[0]) + np.log(MATRIX[path[:-1], path[1:]]).sum()
        expected += stats.norm.logpdf(self.y, MU[path], 1.0).sum()
        assert_allclose(self.logp(path), expected, rtol=1e-13)


class TestInitialProbs:
    y = np.array([0.2, 3.1, 2.7])

    def logp(self, *arguments):
        hmm = pmj.MarginalHMM.dist(pm.Normal.dist(MU, 1.0), MATRIX, *arguments, shape=3)
        return logp_of(hmm, self.y)

    def test_stationary_is_the_default(self):
        expected = self.logp(reference.stationary_distribution(MATRIX))
        assert_allclose(self.logp(), expected, rtol=1e-13)
        assert_allclose(self.logp("stationary"), expected, rtol=1e-13)

    def test_uniform(self):
        assert_allclose(self.logp("uniform"), self.logp([0.5, 0.5]), rtol=1e-14)

    def test_the_stationary_distribution_has_a_gradient(self):
        stay = pt.dvector("stay")
        matrix = pt.stack([pt.stack([stay[0], 1 - stay[0]]), pt.stack([1 - stay[1], stay[1]])])
        hmm = pmj.MarginalHMM.dist(pm.Normal.dist(MU, 1.0), matrix, shape=3)
        logp = pm.logp(hmm, self.y)
        function = pytensor.function([stay], [logp, pt.grad(logp, stay)], mode=FAST)
        point = np.array([0.9, 0.7])
        expected = central_difference(lambda x: function(x)[0], point)
        assert_allclose(function(point)[1], expected, rtol=1e-7)


class TestImpossibleParameters:
    """During sampling an impossible value is -inf with a finite gradient, never NaN."""

    @pytest.mark.parametrize(
        ("position", "value"),
        [
            pytest.param(1, [np.nan, 1.0], id="NaN mean"),
            pytest.param(1, [np.inf, -np.inf], id="infinite means"),
            pytest.param(2, -1.0, id="negative sigma"),
            pytest.param(2, 0.0, id="zero sigma"),
            pytest.param(2, np.nan, id="NaN sigma"),
            pytest.param(3, [0.5, 0.6], id="initial_probs do not sum to 1"),
            pytest.param(3, [-0.5, 1.5], id="negative initial_probs"),
            pytest.param(3, [np.nan, 1.0], id="NaN initial_probs"),
            pytest.param(4, [[0.5, 0.6], [0.5, 0.5]], id="a row does not sum to 1"),
            pytest.param(4, [[1.5, -0.5], [0.5, 0.5]], id="a negative transition"),
            pytest.param(4, [[np.inf, 0.0], [0.5, 0.5]], id="an infinite transition"),
            pytest.param(4, [[np.nan, 0.0], [0.5, 0.5]], id="a NaN transition"),
        ],
    )
    def test_value_is_minus_infinity(self, position, value):
        arguments = list(draw_arguments("one sequence", 1, 1.0, 0.0, False))
        arguments[position] = np.array(value)
        logp, *gradients = function_of(build, "one sequence")(*arguments)
        assert logp == -np.inf
        assert all((g == 0).all() for g in gradients)

    def test_an_impossible_sequence_leaves_the_others_alone(self):
        y = np.array([[0.1, 0.2, 0.3], [0.1, 9.0, 0.3]])
        lower, width = pt.dvector("lower"), pt.dscalar("width")
        hmm = pmj.MarginalHMM.dist(
            pm.Uniform.dist(lower, lower + width), MATRIX, START, shape=(2, 3)
        )
        logp = pm.logp(hmm, y)
        function = pytensor.function([lower, width], [logp, pt.grad(logp[0], width)], mode=FAST)
        value, gradient = function(np.array([0.0, -1.0]), np.array(2.0))
        assert value[1] == -np.inf
        assert_allclose(gradient, -1.5, rtol=1e-12)

    def test_a_state_that_cannot_emit_zero_leaves_gradients_exact(self):
        """The derivative of log y at y = 0 is infinite, and must not meet a probability of 0."""
        y = np.array([0.0, 0.0, 1.2, 3.0, 0.5])
        shape, rate = pt.dvector("shape"), pt.dscalar("rate")
        hmm = pmj.MarginalHMM.dist(pm.Gamma.dist(shape, rate), MATRIX, START, shape=5)
        logp = pm.logp(hmm, y)
        function = pytensor.function(
            [shape, rate], [logp, *pt.grad(logp, [shape, rate])], mode=FAST
        )
        point = (np.array([1.0, 2.0]), np.array(1.5))
        _, of_shape, of_rate = function(*point)
        assert_allclose(
            of_shape[1],
            central_difference(lambda a: function(np.array([1.0, a]), point[1])[0], 2.0),
        )
        assert_allclose(of_rate, central_difference(lambda b: function(point[0], b)[0], 1.5))
