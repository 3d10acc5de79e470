import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from pymc_jaxdist.kernels import marginal_log_likelihood
from tests.kernels.comparisons import assert_close, log_space_rounding, value_and_gradient
from tests.reference import hidden_markov as reference
from tests.reference.differences import central_difference
from tests.strategies import ENUMERABLE, LONGER, Case, build_problem, problems


def expected_gradient(problem, weights, gradient):
    """Sum the gradients of the sequences back onto the broadcast arguments."""
    ll, start, matrix, _ = problem
    matrix = matrix if matrix.ndim > 2 else matrix[None]
    batch = problem.batch

    def spread(x, event_ndim):
        shape = batch + x.shape[x.ndim - event_ndim :]
        return np.broadcast_to(np.arange(x.size).reshape(x.shape), shape)

    totals = [np.zeros(x.size) for x in (ll, start, matrix)]
    places = spread(ll, 2), spread(start, 1), spread(matrix, 3)
    for index, sequence in zip(np.ndindex(*batch), problem.sequences(), strict=True):
        if len(sequence[0]) == 0 or reference.log_likelihood(*sequence) == -np.inf:
            continue
        for total, place, part in zip(totals, places, gradient(*sequence), strict=True):
            # Time-varying parts stop where the padding begins.
            where = place[index][: len(part)] if part.ndim > 1 else place[index]
            np.add.at(total, where, weights[index] * part)
    return [t.reshape(x.shape) for t, x in zip(totals, (ll, start, problem[2]), strict=True)]


def posterior_counts(ll, start, matrix):
    """The gradient times the probabilities, by enumeration."""
    _, occupancies, transitions = reference.brute_force(ll, start, matrix)
    varying = len(matrix) == len(ll) - 1
    return occupancies, occupancies[0], transitions if varying else transitions.sum(0)[None]


def gradient_tolerance(problem):
    return max(log_space_rounding(ll) for ll, *_ in problem.sequences())


def random_weights(problem):
    return np.random.default_rng(0).normal(size=problem.batch)


@given(problems(scales=(1e-2, 1.0, 10.0)))
def test_gradient_equals_posterior_counts_also_at_structural_zeros(problem):
    weights = random_weights(problem)
    _, actual = value_and_gradient(*problem, weights)
    for a, e in zip(actual, expected_gradient(problem, weights, reference.gradient), strict=True):
        assert_close(a, e, gradient_tolerance(problem))


@given(problems())
def test_gradient_times_probability_with_any_evidence(problem):
    weights = random_weights(problem)
    _, (d_ll, d_start, d_matrix) = value_and_gradient(*problem, weights)

    def counts(ll, start, matrix):
        with np.errstate(over="ignore", invalid="ignore"):
            parts = reference.gradient(ll, start, matrix)
            factors = 1, start, matrix
            return [np.where(f > 0, f * g, 0) for f, g in zip(factors, parts, strict=True)]

    expected = expected_gradient(problem, weights, counts)
    assert np.isfinite(d_start).all()
    assert np.isfinite(d_matrix).all()
    actual = d_ll, problem.initial_probs * d_start, problem.transition_matrix * d_matrix
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e, gradient_tolerance(problem))


@given(problems(ENUMERABLE))
def test_gradient_equals_enumerated_counts(problem):
    weights = random_weights(problem)
    _, (d_ll, d_start, d_matrix) = value_and_gradient(*problem, weights)
    actual = d_ll, problem.initial_probs * d_start, problem.transition_matrix * d_matrix
    for a, e in zip(actual, expected_gradient(problem, weights, posterior_counts), strict=True):
        assert_close(a, e, gradient_tolerance(problem))


@pytest.mark.parametrize("case", [Case(5, 3), Case(4, 2, varying=True), Case(4, 9)])
def test_gradient_equals_central_differences(case):
    arguments = list(build_problem(case, 11)[:3])
    _, actual = value_and_gradient(*arguments, None, np.ones(()))
    for position in range(3):

        def moved(x, position=position):
            changed = [x if k == position else a for k, a in enumerate(arguments)]
            return reference.log_likelihood(*changed)

        # A step smaller than the smallest probability.
        expected = central_difference(moved, arguments[position], step=1e-5)
        assert_close(actual[position], expected, 1e-6)


HESSIAN_CASES = [
    Case(4, 3),
    pytest.param(Case(3, 2, varying=True), marks=pytest.mark.slow),
    pytest.param(Case(2, 9), marks=pytest.mark.slow),
]
hessian = jax.jit(jax.hessian(marginal_log_likelihood, (0, 1, 2)))


@pytest.mark.parametrize("case", HESSIAN_CASES)
def test_hessian_equals_differences_of_the_gradient(case):
    arguments = list(build_problem(case, 12)[:3])
    gradient = jax.jit(jax.grad(marginal_log_likelihood, (0, 1, 2)))
    actual = hessian(*arguments)
    for column, argument in enumerate(arguments):
        for row in range(3):

            def moved(x, row=row, column=column):
                return gradient(*[x if k == column else a for k, a in enumerate(arguments)])[row]

            # Differences put the moved argument first, jax.hessian puts it last.
            expected = central_difference(moved, argument, 1e-5)
            axes = range(argument.ndim), range(-argument.ndim, 0)
            assert_close(actual[row][column], np.moveaxis(expected, *axes), 1e-6)


@pytest.mark.parametrize("case", HESSIAN_CASES)
def test_hessian_at_structural_zeros_equals_that_of_the_polynomial(case):
    ll, start, matrix, _ = build_problem(case, 12)
    matrix[..., 0, 1] = matrix[..., 1, 0] = 0
    start[1] = 0
    paths = np.array(list(itertools.product(range(case.states), repeat=case.steps)))

    def polynomial(ll, start, matrix):
        steps = np.arange(case.steps)
        matrices = jnp.broadcast_to(matrix, (case.steps - 1, *matrix.shape[-2:]))
        hops = matrices[steps[:-1], paths[:, :-1], paths[:, 1:]]
        factors = start[paths[:, 0]] * jnp.prod(hops, axis=1) * jnp.exp(ll[steps, paths].sum(1))
        return jnp.log(factors.sum())

    with jax.numpy_rank_promotion("allow"):
        expected = jax.hessian(polynomial, (0, 1, 2))(ll, start, matrix)
    for actual_row, expected_row in zip(hessian(ll, start, matrix), expected, strict=True):
        for a, e in zip(actual_row, expected_row, strict=True):
            assert_close(a, e, 1e-11)


def test_hessian_vector_products():
    ll, start, matrix, _ = build_problem(Case(6, 3, (2,)), 13)

    def total(x):
        return marginal_log_likelihood(x, start, matrix).sum()

    direction = np.random.default_rng(1).normal(size=ll.shape)
    product = jax.jit(lambda x, v: jax.jvp(jax.grad(total), (x,), (v,))[1])(ll, direction)
    eps = 1e-5
    gradient = jax.jit(jax.grad(total))
    change = gradient(ll + eps * direction) - gradient(ll - eps * direction)
    assert_close(product, change / (2 * eps), 1e-6)


def test_gradient_per_sequence():
    ll, start, matrix, _ = build_problem(LONGER[0]._replace(padded=False), 14)
    jacobian = jax.jit(jax.jacrev(marginal_log_likelihood, 2))(ll, start, matrix)
    gradient = jax.jit(jax.grad(marginal_log_likelihood, 2))
    for n in range(len(ll)):
        assert_close(jacobian[n], gradient(ll[n], start, matrix))


def test_gradient_on_padding_is_exactly_zero():
    problem = build_problem(Case(5, 3, (4,), varying=True), 15)
    lengths = np.array([0, 1, 3, 5])
    ll = problem.log_likelihoods.copy()
    ll[np.arange(5) >= lengths[:, None]] = np.nan
    matrix = np.broadcast_to(problem.transition_matrix, (4, 4, 3, 3)).copy()
    matrix[np.arange(1, 5) >= lengths[:, None]] = np.nan
    (_, log_lik), (d_ll, _, d_matrix) = value_and_gradient(
        ll, problem.initial_probs, matrix, lengths, np.ones(4)
    )
    assert np.isfinite(log_lik).all()
    assert log_lik[0] == 0
    assert (np.asarray(d_ll)[np.arange(5) >= lengths[:, None]] == 0).all()
    assert (np.asarray(d_matrix)[np.arange(1, 5) >= lengths[:, None]] == 0).all()
    assert_close(d_ll.sum(axis=(1, 2)), lengths)


@pytest.mark.parametrize("matrix_shape", [(3, 3), (1, 3, 3), (0, 3, 3)])
def test_one_observation_has_no_transition(matrix_shape):
    matrix = np.full(matrix_shape, 1 / 3)
    ll = np.array([[0.3, -1.0, 2.0]])
    start = np.array([0.2, 0.3, 0.5])
    (_, log_lik), gradient = value_and_gradient(ll, start, matrix, None, np.ones(()))
    d_ll, d_start, d_matrix = gradient
    weights = start * np.exp(ll[0])
    assert_close(log_lik, np.log(weights.sum()))
    assert_close(d_ll, (weights / weights.sum())[None])
    assert_close(d_start, np.exp(ll[0]) / weights.sum())
    assert d_matrix.shape == matrix_shape
    assert (np.asarray(d_matrix) == 0).all()


def test_vmap_of_the_gradient():
    ll, start, matrix, _ = build_problem(Case(6, 3, (4,), (4,), (4,)), 16)
    gradient = jax.jit(jax.grad(marginal_log_likelihood, (0, 1, 2)))
    mapped = jax.jit(jax.vmap(gradient))(ll, start, matrix[:, 0])
    for n in range(4):
        for m, one in zip(mapped, gradient(ll[n], start[n], matrix[n, 0]), strict=True):
            assert_close(m[n], one)


def test_closing_over_nothing_leaks_no_array_over_pairs():
    """A shared matrix must not cost an (N, T, K, K) array."""
    steps, states, sequences = 20, 12, 7

    def total(ll, start, matrix):
        return marginal_log_likelihood(ll, start, matrix).sum()

    jaxpr = str(
        jax.make_jaxpr(jax.grad(total, 2))(
            jnp.zeros((sequences, steps, states)), jnp.ones(states), jnp.eye(states)
        )
    )
    for shape in ((sequences, steps), (steps, sequences), (sequences, steps - 1)):
        assert f"[{','.join(map(str, (*shape, states, states)))}]" not in jaxpr
