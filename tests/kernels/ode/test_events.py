"""Doses and jumps, against what they mean for one subject after another."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from pymc_jaxdist.kernels.ode.events import (
    DoseEvent,
    JumpEvent,
    apply_events,
    event_knots,
    infusion_rates,
)

#: Two doses into state 1, three infusions into state 0, and a jump at two times.
BOLUS = DoseEvent(state=1, first_leaf=0, infusion=False)
INFUSION = DoseEvent(state=0, first_leaf=2, infusion=True)
JUMP = JumpEvent(lambda y, params: y[::-1] * 10.0, first_leaf=5)
EVENTS = (BOLUS, INFUSION, JUMP)
#: The leaves of one subject, and after them the times of a kink.
LEAVES = tuple(
    np.array(x)
    for x in (
        [1.0, 4.0],
        [5.0, 7.0],
        [0.0, 2.0, 6.0],
        [3.0, 8.0, 2.0],
        [1.0, 5.0, 0.5],
        [3.0, 5.0],
        [2.5, np.nan],
    )
)


def test_knots_are_the_times_of_all_that_happens():
    """In the order of the events, an infusion's beginnings before its ends; then the kinks."""
    leaves = [np.stack([x, x + 1]) for x in LEAVES]
    leaves[4] = np.stack([LEAVES[4]] * 2)  # durations
    found = event_knots(EVENTS, (6,), [jnp.asarray(x) for x in leaves], jnp.array([0.0, 3.0]))
    first = [1, 4, 0, 2, 6, 1, 7, 6.5, 3, 5, 2.5, np.inf]
    second = [np.inf, 5, np.inf, 3, 7, np.inf, 8, 7.5, 4, 6, 3.5, np.inf]
    assert_array_equal(found, [first, second])


def test_without_events_there_are_no_knots():
    assert event_knots((), (), (), jnp.zeros(3)).shape == (3, 0)


def after(*happening):
    """Return what is left of (1, 2) after some of the ten knots of the events."""
    happens = jnp.isin(jnp.arange(10), jnp.array(happening, dtype=int))
    leaves = [jnp.asarray(x) for x in LEAVES]
    y = jnp.array([1.0, 2.0])
    return apply_events(EVENTS, happens, y, leaves, lambda f, y: f(y, None)).tolist()


def test_each_knot_is_one_thing_that_happens():
    assert after() == [1.0, 2.0]
    assert after(0) == [1.0, 7.0]
    assert after(1) == [1.0, 9.0]
    for begins_or_ends in range(2, 8):
        assert after(begins_or_ends) == [1.0, 2.0]
    assert after(8) == after(9) == [20.0, 10.0]


def test_what_happens_at_the_same_time_happens_in_the_order_of_the_events():
    assert after(0, 1, 8) == [140.0, 10.0]


def test_events_after_a_jump_have_knots_of_their_own():
    y = apply_events(
        (JUMP, BOLUS),
        jnp.array([True, False, False, True]),
        jnp.array([1.0, 2.0]),
        [jnp.asarray(x) for x in LEAVES],
        lambda f, y: f(y, None),
    )
    assert y.tolist() == [20.0, 17.0]


def test_infusions_flow_from_their_beginning_to_before_their_end():
    leaves = [jnp.asarray(x) for x in LEAVES]
    segments = np.array([-0.1, 0.0, 0.9, 1.0, 2.0, 6.2, 6.5, 7.0])
    found = jax.vmap(lambda t: infusion_rates(EVENTS, t, leaves, jnp.ones(2)))(segments)
    flow = [0.0, 3.0, 3.0, 0.0, 8 / 5, 8 / 5 + 2 / 0.5, 8 / 5, 0.0]
    assert_allclose(found, np.stack([flow, np.zeros(8)], axis=1), rtol=1e-12)


def test_infusions_into_the_same_state_add_up():
    twice = (INFUSION, INFUSION, INFUSION._replace(state=1))
    leaves = [jnp.asarray(x) for x in LEAVES]
    assert_allclose(infusion_rates(twice, jnp.asarray(0.5), leaves, jnp.ones(2)), [6.0, 3.0])
    assert infusion_rates((BOLUS, JUMP), jnp.asarray(1.0), leaves, jnp.ones(2)) == 0.0
