"""Bad values are data, not errors: -inf with a zero gradient, never NaN."""

import jax.numpy as jnp
import numpy as np
import pytest

from pymc_jaxdist.kernels import marginal_log_likelihood
from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.native.hidden_markov_posterior import native_posterior
from pymc_jaxdist.kernels.posterior import scaled_posterior
from tests.kernels.comparisons import assert_close, value, value_and_gradient
from tests.strategies import Case, build_problem

BAD = {
    "log_likelihoods": (np.nan, np.inf),
    "initial_probs": (np.nan, np.inf, -np.inf, -0.1, -1e-300),
    "transition_matrix": (np.nan, np.inf, -np.inf, -0.1, -1e-300),
}
CASES = (Case(4, 3, (3,)), Case(4, 3, (3,), (3,), (3,), varying=True), Case(4, 9, (3,)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "bad"), [(n, b) for n in BAD for b in BAD[n]])
def test_bad_value_in_any_position_is_minus_infinity(case, name, bad):
    problem = build_problem(case, 1)
    (_, fine), expected = value_and_gradient(*problem, np.ones(3))
    argument = getattr(problem, name)
    per_sequence = argument.ndim > {"log_likelihoods": 2, "initial_probs": 1}.get(name, 2)
    rng = np.random.default_rng(0)
    for _ in range(3):
        spoiled = argument.copy()
        index = tuple(rng.integers(n) for n in argument.shape)
        spoiled[index] = bad
        hit = np.arange(3) == index[0] if per_sequence else np.ones(3, bool)
        arguments = problem._replace(**{name: spoiled})
        (_, log_lik), gradient = value_and_gradient(*arguments, np.ones(3))
        for result in log_lik, value(*arguments):
            assert np.isneginf(np.asarray(result)[hit]).all()
            assert_close(np.asarray(result)[~hit], np.asarray(fine)[~hit])
        for part in gradient:
            assert np.isfinite(part).all()
        assert (np.asarray(gradient[0])[hit] == 0).all()
        assert_close(np.asarray(gradient[0])[~hit], np.asarray(expected[0])[~hit])


@pytest.mark.parametrize("kernel", [scaled_posterior, native_posterior], ids=["XLA", "native"])
def test_zeros_are_probabilities(kernel):
    """A state in which no sequence begins, and one that is never left."""
    ll = build_problem(Case(4, 2, (3,)), 4).log_likelihoods
    start, matrix = np.array([0.0, 1.0]), np.eye(2)
    chain, _ = flatten_batch(*map(jnp.asarray, (ll, start, matrix)), None)
    found = kernel(chain)
    assert found.exact.all()
    assert not found.impossible.any()
    assert_close(found.log_likelihood, ll[..., 1].sum(axis=-1))


def test_bad_transition_into_padding_does_not_matter():
    ll, start, matrix, _ = build_problem(Case(4, 3, (2,), varying=True), 2)
    matrix[2] = np.nan
    log_lik = value(ll, start, matrix, np.array([3, 4]))
    assert np.isfinite(log_lik[0])
    assert np.isneginf(log_lik[1])


def test_length_zero_is_certain():
    ll, start, matrix, _ = build_problem(Case(4, 3, (2,)), 3)
    (_, log_lik), gradient = value_and_gradient(ll, start, matrix, np.array([0, 0]), np.ones(2))
    assert (np.asarray(log_lik) == 0).all()
    for part in gradient:
        assert (np.asarray(part) == 0).all()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3,), (3,), (3, 3)), "log_likelihoods must have shape"),
        (((0, 3), (3,), (3, 3)), "T >= 1"),
        (((4, 3), (2,), (3, 3)), "initial_probs must have shape"),
        (((4, 3), (), (3, 3)), "initial_probs must have shape"),
        (((4, 3), (3,), (3, 2)), "transition_matrix must have shape"),
        (((4, 3), (3,), (3,)), "transition_matrix must have shape"),
        (((4, 3), (3,), (4, 3, 3)), "transition_matrix must have shape"),
        (((2, 4, 3), (5, 3), (3, 3)), "(?i)shape"),
    ],
)
def test_shapes_that_do_not_fit_are_errors(shapes, message):
    with pytest.raises(ValueError, match=message):
        marginal_log_likelihood(*(np.ones(shape) for shape in shapes))
