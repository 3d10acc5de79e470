import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

from pymc_jaxdist.kernels import marginal_log_likelihood
from tests.kernels.comparisons import assert_close, value, value_and_gradient
from tests.reference import hidden_markov as reference
from tests.strategies import ENUMERABLE, LONGER, Case, build_problem, problems


def expected_values(problem, log_likelihood):
    values = [log_likelihood(*s) if len(s[0]) else 0.0 for s in problem.sequences()]
    return np.reshape(values, problem.batch)


@given(problems())
def test_value_equals_forward_algorithm(problem):
    assert_close(value(*problem), expected_values(problem, reference.log_likelihood))


@given(problems(ENUMERABLE))
def test_value_equals_enumeration_of_all_paths(problem):
    expected = expected_values(problem, lambda *sequence: reference.brute_force(*sequence)[0])
    assert_close(value(*problem), expected)


@given(problems())
def test_value_with_gradient_equals_value_alone(problem):
    _, log_lik = value_and_gradient(*problem, np.ones(problem.batch))[0]
    assert_close(log_lik, value(*problem))


def test_adding_a_constant_to_one_time_adds_it_to_the_result():
    problem = build_problem(LONGER[0]._replace(padded=False), 1)
    shifted = problem.log_likelihoods.copy()
    shifted[:, 7] += 123.0
    moved = problem._replace(log_likelihoods=shifted)
    assert_close(value(*moved), value(*problem) + 123.0)


def test_renaming_states_changes_nothing():
    ll, start, matrix, lengths = problem = build_problem(LONGER[1], 2)
    order = np.random.default_rng(0).permutation(ll.shape[-1])
    renamed = ll[..., order], start[order], matrix[np.ix_(order, order)], lengths
    assert_close(value(*renamed), value(*problem))


def test_reordering_sequences_reorders_results():
    ll, start, matrix, lengths = problem = build_problem(LONGER[1], 3)
    order = np.array([2, 0, 1])
    assert_close(value(ll[order], start, matrix, lengths[order]), value(*problem)[order])


def test_a_split_sequence_gives_conditional_probabilities():
    ll, start, matrix, _ = build_problem(Case(12, 3), 4)
    first, rest = ll[:5], ll[5:]
    head = reference.log_forward(first, start, matrix)[-1]
    onward = (np.exp(head - np.logaddexp.reduce(head)) @ matrix).astype(float)
    split = value(first, start, matrix, None) + value(rest, onward, matrix, None)
    assert_close(split, value(ll, start, matrix, None))


def test_a_batch_equals_a_loop():
    case = Case(5, 3, (2, 3), (3,), (2, 1), varying=True)
    ll, start, matrix, _ = problem = build_problem(case, 5)
    batch = value(*problem)
    assert batch.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        assert_close(batch[i, j], value(ll[i, j], start[j], matrix[i, 0], None))


def test_parameters_may_have_batch_dimensions_that_evidence_lacks():
    ll, start, matrix, _ = problem = build_problem(Case(6, 3, (), (4, 1), (2,)), 6)
    batch = value(*problem)
    assert batch.shape == (4, 2)
    for i, j in np.ndindex(4, 2):
        assert_close(batch[i, j], value(ll, start[i, 0], matrix[j, 0], None))


def test_constant_matrices_repeated_in_time_equal_a_constant_matrix():
    ll, start, matrix, _ = build_problem(Case(7, 3, (2,)), 7)
    assert_close(value(ll, start, np.stack([matrix] * 6), None), value(ll, start, matrix, None))


def test_vmap_over_each_argument():
    ll, start, matrix, _ = build_problem(Case(6, 3, (4,), (4,), (4,)), 8)
    batches = ll, start, matrix[:, 0]
    for mapped_one in range(3):
        axes = tuple(0 if k == mapped_one else None for k in range(3))
        arguments = [x if k == mapped_one else x[0] for k, x in enumerate(batches)]
        mapped = jax.jit(jax.vmap(marginal_log_likelihood, axes))(*arguments)
        for n in range(4):
            single = [x[n] if k == mapped_one else x[0] for k, x in enumerate(batches)]
            assert_close(mapped[n], value(*single, None))


def test_vmap_over_lengths():
    ll, start, matrix, _ = build_problem(Case(6, 3), 9)
    mapped = jax.jit(jax.vmap(marginal_log_likelihood, (None, None, None, 0)))
    lengths = jnp.arange(7)
    expected = [value(ll, start, matrix, n) for n in lengths]
    assert_close(mapped(ll, start, matrix, lengths), np.array(expected))


def test_integer_arguments_become_floats():
    integers = np.zeros((3, 1), int), np.ones(1, int), np.ones((1, 1), int)
    assert_close(value(*integers, None), 0.0)


def test_rows_need_not_sum_to_one():
    ll, start, matrix, _ = build_problem(Case(6, 3), 10)
    arguments = ll, 2 * start, 3 * matrix
    assert_close(value(*arguments, None), reference.log_likelihood(*arguments))
