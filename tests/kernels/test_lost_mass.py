"""When scaling is trusted: nothing that underflowed can have mattered."""

import jax.numpy as jnp
import numpy as np
import pytest

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.scaled import ScaledForward
from pymc_jaxdist.kernels.underflow import (
    loss_thresholds,
    may_have_lost_mass,
    posterior_may_have_lost_mass,
)

ENTRY, FILTERED = loss_thresholds(jnp.dtype("float64"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_thresholds_divide_the_range_of_floats(dtype):
    entry, filtered = loss_thresholds(jnp.dtype(dtype))
    tiny = float(np.finfo(dtype).tiny)
    np.testing.assert_allclose([entry**3, entry * filtered], tiny, rtol=1e-12)


def two_states(matrix, ll=((0.0, 0.0), (0.0, 0.0)), start=(0.5, 0.5), lengths=None):
    ll = np.array(ll)
    return flatten_batch(ll, np.array(start), np.array(matrix), lengths)[0]


# Evidence that all but rules out one state, then the other.
REVERSAL = np.array([[0.0, -800.0], [-900.0, 0.0]])


@pytest.mark.parametrize(
    ("probability", "start", "lost"),
    [
        (2 * ENTRY, 0.5, False),
        (ENTRY / 2, 0.5, True),
        (0.5, 2 * ENTRY, False),
        (0.5, ENTRY / 2, True),
        (0.0, 0.5, True),
    ],
)
def test_large_entries_make_up_for_any_evidence(probability, start, lost):
    matrix = [[1 - probability, probability], [probability, 1 - probability]]
    chain = two_states(matrix, REVERSAL, (start, 1 - start))
    np.testing.assert_array_equal(may_have_lost_mass(chain), lost)


@pytest.mark.parametrize(
    ("probability", "lost"), [(0.0, False), (0.5, False), (ENTRY / 2, True), (2 * ENTRY, False)]
)
def test_small_entries_are_not_trusted_whatever_the_evidence(probability, lost):
    # The last state is never left, so that the matrix has a zero.
    matrix = [[1 - probability, probability], [0.0, 1.0]]
    np.testing.assert_array_equal(may_have_lost_mass(two_states(matrix)), lost)


def test_an_impossible_observation_of_one_state_is_no_loss():
    chain = two_states(np.eye(2), [[0.0, -np.inf], [0.0, 0.0]])
    np.testing.assert_array_equal(may_have_lost_mass(chain), False)


def test_an_improbable_sequence_is_looked_at_again():
    # Each of its two paths has a probability of 1e-110 at the second step.
    chain = two_states([[1.0, 0.0], [0.0, 1.0]], [[0.0, -np.log(1e110)], [-np.inf, 0.0]])
    np.testing.assert_array_equal(may_have_lost_mass(chain), True)


def test_what_is_lost_on_padding_does_not_matter():
    ll = np.concatenate([np.zeros((1, 2)), REVERSAL])
    chain = two_states(np.eye(2), [ll, ll], lengths=np.array([1, 3]))
    np.testing.assert_array_equal(may_have_lost_mass(chain), [False, True])


@pytest.mark.parametrize("states", [2, 20])
def test_a_posterior_is_trusted_while_beta_by_the_normaliser_is_in_the_range_of_floats(states):
    ll = np.zeros((3, 2, states))
    chain, _ = flatten_batch(ll, np.full(states, 1 / states), np.eye(states), np.array([2, 1, 2]))

    def lost(beta, normaliser):
        """Of three sequences, the second of length one, at the second step and state 1."""
        of_all = np.ones((2, 3))
        of_all[1] = normaliser
        series = np.ones((2, states, 3))
        series[1, 1] = beta
        if states > 2:
            series = np.moveaxis(series, 1, -1)
        nothing = jnp.zeros(0)
        forward = ScaledForward(nothing, nothing, jnp.asarray(of_all), nothing)
        return posterior_may_have_lost_mass(chain, forward, jnp.asarray(series)).tolist()

    assert lost(1.0, 1.0) == [False, False, False]
    assert lost([0.9e-40 / FILTERED, 1.0, 1.1e-40 / FILTERED], 1e-40) == [False, False, True]
    assert lost([1.0, 1.0, 1.1 / FILTERED], 1.0) == [False, False, True]
    assert lost(1.0, [0.0, 1.0, np.nan]) == [True, False, True]
    assert lost([np.nan, 1.0, 1.0], -1.0) == [True, False, True]
    assert lost([1.0, np.inf, 1.0], [1.0, 0.0, 1.0]) == [False, False, False]
