"""Recorded steps in reverse: the derivatives of the same steps, taken one after the other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.ode.problem import Inputs, Problem
from pymc_jaxdist.kernels.ode.reverse import pull_back
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4
from pymc_jaxdist.kernels.ode.state import Record
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5


def field(t, segment, y, theta, fixed):
    inflow, outflow = theta[0] * y[0] * jnp.exp(-y[1]), theta[1] * y[1]
    return jnp.stack([fixed * jnp.sin(t) - inflow, inflow - outflow])


def doses(first, following, y, theta, fixed):
    """Give a dose at each knot, larger from one to the next."""
    counts = (first + following + 1.0) / 2 * (following - first)
    return y + jnp.stack([theta[1] * counts, y[0] * counts])


PROBLEM = Problem(field, doses)
TIMES = np.array(
    [
        [0.0, 0.1, 0.25, 0.3, 0.4, 0.4, 0.9],
        [1.0, 1.0, 1.0, 1.2, 1.5, 1.5, 1.5],
        [2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6],
    ]
)
#: Where the steps of each subject end; the second one starts before it is observed. Of the last
#: subject no steps are known.
ENDS = [[0.0, 0.3, 0.4, 0.9], [0.8, 1.5], [2.0]]
MOST_STEPS = 4
Y0 = np.array([[1.0, 0.2], [0.4, 0.7], [0.3, 0.3]])
THETA = np.array([[1.3, 0.6], [0.8, 1.9], [1.0, 1.0]])
FIXED = np.array([0.5, -0.4, 0.1])


class Steps(NamedTuple):
    """The steps of one subject: times, knots and observations before each, and after the last."""

    t: list
    knots: list
    seen: list


def steps_of(subject, knots):
    """Return the steps of a subject, at the beginning of which doses are given."""
    ends = np.array(ENDS[subject])
    given = [0, *(np.sum(knots[subject] <= t) for t in ends[:-1])]
    return Steps(ends, given, [np.sum(TIMES[subject] <= t) for t in ends])


def walk(method, subject, knots, y, theta):
    """Return what is observed after the start, and where each step begins."""
    t, given, seen = steps_of(subject, knots)
    begins, observed = [], jnp.zeros((TIMES.shape[1], 2))
    for k in range(len(t) - 1):
        begins.append(y)
        y = doses(given[k], given[k + 1], y, theta, None)
        h = t[k + 1] - t[k]
        own = PROBLEM.vector_field(t[k], theta, FIXED[subject])
        step = method.step(own, t[k], h, y, own(t[k], y))
        for i in range(seen[k], seen[k + 1]):
            u = (TIMES[subject, i] - t[k]) / h
            observed = observed.at[i].set(method.interpolate(u, h, y, step))
        y = step.y
    return observed, begins


def recorded(method, subjects, knots):
    """Write the record of these steps; what is not filled holds no numbers."""
    n = len(subjects)
    record = Record(
        *(np.full((MOST_STEPS, *shape, n), np.nan) for shape in ((), (), (2,))),
        *(np.full((MOST_STEPS if knots.shape[1] else 0, n), 99) for _ in range(2)),
        np.full((MOST_STEPS, n), 99),
    )
    for place, subject in enumerate(subjects):
        t, given, seen = steps_of(subject, knots)
        begins = walk(method, subject, knots, Y0[subject], THETA[subject])[1]
        for k, y in enumerate(begins):
            record.t[k, place], record.h[k, place] = t[k], t[k + 1] - t[k]
            record.y[k, :, place], record.next_time[k, place] = y, seen[k]
            if knots.shape[1]:
                record.first_knot[k, place] = given[k]
                record.next_knot[k, place] = given[k + 1]
    return Record(*map(jnp.asarray, record))


KNOTS = np.array([[0.0, 0.3, 0.35, 9.0], [0.8, 0.8, 1.6, 9.0], [2.0, 2.1, 2.2, 9.0]])
METHODS = {"tsit5": Tsit5(), "rk4": RK4(0.5)}


@pytest.mark.parametrize(
    ("name", "subjects", "n_knots"),
    [
        ("tsit5", [0], 1),
        ("rk4", [2, 0, 1], 1),
        ("tsit5", [1, 0], 0),
        ("tsit5", [1], 4),
        ("tsit5", [0, 1, 2], 4),
    ],
)
def test_derivatives_are_those_of_the_steps_taken_again(name, subjects, n_knots):
    """Observations inside steps, at their ends, several at once; steps of one's own number."""
    method, knots = METHODS[name], KNOTS[:, :n_knots]
    cotangents = np.random.default_rng(0).normal(size=(3, TIMES.shape[1], 2))
    inputs = Inputs(Y0, THETA, np.array([ends[0] for ends in ENDS]), TIMES, knots)
    own = Inputs(*(jnp.asarray(x[np.array(subjects)]) for x in inputs))
    found = jax.jit(lambda *arguments: pull_back(PROBLEM, method, *arguments))(
        own,
        jnp.asarray(FIXED[subjects]),
        recorded(method, subjects, knots),
        jnp.array([len(ENDS[i]) - 1 for i in subjects]),
        jnp.asarray(cotangents[subjects]),
    )
    for place, subject in enumerate(subjects):

        def total(y0, theta, subject=subject):
            return jnp.sum(cotangents[subject] * walk(method, subject, knots, y0, theta)[0])

        expected = jax.grad(total, (0, 1))(Y0[subject], THETA[subject])
        for by_mine, by_steps in zip(found, expected, strict=True):
            assert_allclose(by_mine[place], by_steps, rtol=1e-11, atol=1e-13)


def test_what_was_observed_before_any_step_is_left_to_the_caller():
    knots, method = KNOTS[:, :0], METHODS["tsit5"]
    cotangents = np.zeros((1, TIMES.shape[1], 2))
    cotangents[:, 0] = 1.0
    y_bar, theta_bar = pull_back(
        PROBLEM,
        method,
        Inputs(*(jnp.asarray(x[:1]) for x in (Y0, THETA, TIMES[:, 0], TIMES, knots))),
        jnp.asarray(FIXED[:1]),
        recorded(method, [0], knots),
        jnp.array([3]),
        jnp.asarray(cotangents),
    )
    assert not np.any(y_bar)
    assert not np.any(theta_bar)
