"""Every mistake in a differential equation is named, with what to do instead."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import DataError, DistributionError, ParameterError, ShapeError

RIGHT = {
    "vector_field": lambda t, y, p: -p["k"] * y,
    "params": {"k": 1.0},
    "y0": [1.0, 2.0],
    "times": [1.0, 2.0, 3.0],
    "likelihood": lambda y: pm.Normal.dist(y, 0.1),
    "observed": np.ones((3, 2)),
}

MISTAKES = {
    "an observation before t0": ({"t0": 1.5}, DataError, r"before t0[\s\S]*t0=1"),
    "a time that is infinite": ({"times": [1, 2, np.inf]}, DataError, "must be finite"),
    "times that are all missing": ({"times": [np.nan] * 3}, DataError, "all NaN"),
    "no times": ({"times": []}, ShapeError, "at least one time"),
    "t0 that is not finite": ({"t0": np.nan}, ParameterError, "t0 must be finite"),
    "a field that returns one number": (
        {"vector_field": lambda t, y, p: -p["k"] * y[0]},
        ShapeError,
        r"derivative of each state[\s\S]*\(2,\)",
    ),
    "a field that needs NumPy": (
        {"vector_field": lambda t, y, p: np.sin(np.asarray(y))},
        ParameterError,
        "must be written in jax.numpy",
    ),
    "a field that branches on a value": (
        {"vector_field": lambda t, y, p: y if y[0] > 0 else -y},
        ParameterError,
        "must be written in jax.numpy",
    ),
    "a field with a misspelt parameter": (
        {"vector_field": lambda t, y, p: -p["rate"] * y},
        ParameterError,
        r"vector_field fails[\s\S]*KeyError: 'rate'",
    ),
    "a field of two arguments": (
        {"vector_field": lambda t, y: -y},
        ParameterError,
        "vector_field fails",
    ),
    "no function": ({"vector_field": 3.0}, ParameterError, "must be a function"),
    "a likelihood that is a distribution": (
        {"likelihood": pm.Normal.dist(0, 1)},
        DistributionError,
        "must be a function of the solution",
    ),
    "a likelihood that returns the solution": (
        {"likelihood": lambda y: y},
        DistributionError,
        "likelihood must be a",
    ),
    "a likelihood that fails": (
        {"likelihood": lambda y: pm.Normal.dist(y["hare"], 1)},
        DistributionError,
        "could not be called",
    ),
    "data of another length": ({"observed": np.ones((4, 2))}, ShapeError, "one row for each"),
    "data without channels": (
        {
            "likelihood": lambda y: (pm.Normal.dist(y[..., 0]), pm.Normal.dist(y[..., 1])),
            "observed": np.ones(3),
        },
        ShapeError,
        "too few dimensions",
    ),
    "infinite data": ({"observed": np.full((3, 2), np.inf)}, DataError, "must not be infinite"),
    "data that are words": ({"observed": [["a", "b"]] * 3}, DataError, "array of numbers"),
    "a state that does not exist": ({"observe": 2}, ParameterError, "a state that does not exist"),
    "a state by a name it has not": (
        {"observe": "hare"},
        ParameterError,
        r"does not exist[\s\S]*y0 as a dictionary",
    ),
    "an unknown solver": ({"solver": "lsoda"}, ParameterError, r"'lsoda'[\s\S]*'auto'"),
    "an unknown sensitivity": ({"sensitivity": "adjoint"}, ParameterError, "'adjoint'"),
    "a tolerance of zero": ({"rtol": 0.0}, ParameterError, "rtol must be a positive number"),
    "a negative tolerance": ({"atol": -1.0}, ParameterError, "atol must be a positive number"),
    "tolerances of three states": ({"atol": [1e-6] * 3}, ShapeError, "one for each state"),
    "no steps": ({"max_steps": 0}, ParameterError, "max_steps must be"),
    "params that are words": ({"params": {"k": "fast"}}, ParameterError, "params must be numbers"),
    "y0 that is a word": ({"y0": "one"}, ParameterError, "y0 must be numbers"),
    "an empty state": ({"y0": {}}, ParameterError, "y0 is empty"),
    "subjects that do not fit": (
        {"y0": np.ones((3, 2)), "times": np.ones((4, 3))},
        ShapeError,
        "must broadcast",
    ),
    "an event that is no event": ({"events": [3]}, ParameterError, "must be Doses or Jumps"),
    "a dose before t0": (
        {"events": pmj.Doses([-1.0], 1.0, 0)},
        DataError,
        "an event comes before t0",
    ),
    "a dose to no state": (
        {"events": pmj.Doses([1.0], 1.0, 5)},
        ParameterError,
        "doses are given to a state that does not exist",
    ),
    "repetitions without an interval": (
        {"events": pmj.Doses([1.0], 1.0, 0, additional=3)},
        ParameterError,
        "additional doses need an interval",
    ),
    "a steady state without an interval": (
        {"events": pmj.Doses([1.0], 1.0, 0, steady_state=3)},
        ParameterError,
        "steady_state doses need an interval",
    ),
    "a steady state of no interval": (
        {"events": pmj.Doses([1.0], 1.0, 0, interval=0.0, steady_state=3)},
        ParameterError,
        "interval of repeated doses must be one positive number",
    ),
    "a steady state of an interval that is not known": (
        {"events": pmj.Doses([1.0], 1.0, 0, interval=pt.dscalar("tau"), steady_state=3)},
        ParameterError,
        "interval of doses at steady state must be known",
    ),
    "repetitions backwards in time": (
        {"events": pmj.Doses([1.0], 1.0, 0, interval=-1.0, additional=3)},
        ParameterError,
        "interval of repeated doses must be one positive number",
    ),
    "a part of a repetition": (
        {"events": pmj.Doses([1.0], 1.0, 0, interval=1.0, additional=2.5)},
        ParameterError,
        "additional must be a whole number",
    ),
    "a dose before the start of one subject": (
        {
            "y0": np.ones((2, 2)),
            "t0": np.array([0.0, 0.5]),
            "events": pmj.Doses([0.2], 1.0, 0),
            "observed": np.ones((2, 3, 2)),
        },
        DataError,
        r"an event comes before t0[\s\S]*t0 = 0.5",
    ),
    "doses of other subjects": (
        {
            "y0": np.ones((2, 2)),
            "t0": np.zeros(2),
            "events": pmj.Doses(np.ones((3, 1)), 1.0, 0),
            "observed": np.ones((2, 3, 2)),
        },
        ShapeError,
        r"those of all subjects, or of each[\s\S]*times \(3, 1\), t0 \(2,\)",
    ),
    "amounts of other doses": (
        {"events": pmj.Doses([1.0, 2.0], [1.0, 2.0, 3.0], 0)},
        ShapeError,
        r"must fit their times[\s\S]*amounts \(3,\)",
    ),
    "an amount that is a word": (
        {"events": pmj.Doses([1.0], "much", 0)},
        ParameterError,
        "amounts of doses must be numbers",
    ),
    "an infusion with a duration and a rate": (
        {"events": pmj.Doses([1.0], 1.0, 0, duration=1.0, rate=1.0)},
        ParameterError,
        "a duration or a rate, not both",
    ),
    "an infusion at a negative rate": (
        {"events": pmj.Doses([1.0], 1.0, 0, rate=-2.0)},
        ParameterError,
        "rate of an infusion must be positive",
    ),
    "a jump that returns one number": (
        {"events": pmj.Jumps([1.0], lambda y, p: y[0])},
        ShapeError,
        r"must return all states[\s\S]*shape \(\)",
    ),
    "a jump that fails": (
        {"events": pmj.Jumps([1.0], lambda y, p: y * p["half"])},
        ParameterError,
        r"the function of Jumps fails[\s\S]*KeyError: 'half'",
    ),
    "a jump that needs NumPy": (
        {"events": pmj.Jumps([1.0], lambda y, p: np.maximum(np.asarray(y), 0))},
        ParameterError,
        "the function of Jumps must be written in jax.numpy",
    ),
    "something observed at no time": (
        {"times": [1.0, 2.0, np.nan]},
        DataError,
        r"at a time that is NaN[\s\S]*index \(2,\)",
    ),
    "a vector that is missing in part": (
        {
            "likelihood": lambda y: pm.MvNormal.dist(y, np.eye(2)),
            "observed": np.array([[1.0, np.nan], [1.0, 1.0], [np.nan, np.nan]]),
        },
        DataError,
        r"missing in part[\s\S]*1 of 3 vectors",
    ),
    "more states in the data than in the likelihood": (
        {"observed": np.ones((3, 3))},
        ShapeError,
        r"shape of the likelihood[\s\S]*\(3, 2\)",
    ),
    "data of other subjects": (
        {"y0": np.ones((3, 2)), "observed": np.ones((4, 3, 2))},
        ShapeError,
        r"shape of the likelihood[\s\S]*\(3, 3, 2\)",
    ),
    "states that are not finite": ({"y0": [1.0, np.nan]}, ParameterError, "y0 must be finite"),
    "states of subjects that do not fit": (
        {"y0": [np.ones(3), np.ones(4)]},
        ShapeError,
        "parts do not fit together",
    ),
    "no observed state": ({"observe": []}, ParameterError, "observe must be a state"),
    "a class in place of a solver": (
        {"solver": diffrax.Tsit5},
        ParameterError,
        "must be an instance",
    ),
    "a solver that does not know its error": (
        {"solver": diffrax.Euler()},
        ParameterError,
        "estimate its error",
    ),
    "an input with too few values": (
        {"params": {"k": 1.0, "u": pmj.interpolated([0.0, 1.0, 3.0], [0.0, 2.0])}},
        ShapeError,
        r"a value for each of its times[\s\S]*3 times and values of shape \(2,\)",
    ),
    "an input without a value": (
        {"params": {"k": 1.0, "u": pmj.interpolated([0.0, 1.0], [0.0, np.nan])}},
        DataError,
        "values of an interpolated input must be finite",
    ),
    "an infusion of no duration": (
        {"events": pmj.Doses([1.0], 1.0, 0, duration=0.0)},
        ParameterError,
        "duration of an infusion must be positive",
    ),
    "a linear system with events": (
        {
            "vector_field": pmj.LinearODE(lambda p: -p["k"] * jnp.eye(2)),
            "events": pmj.Doses([1.0], 1.0, 0),
        },
        ParameterError,
        "LinearODE has no events",
    ),
    "a switch in place of a number of steps": (
        {"max_steps": True},
        ParameterError,
        "max_steps must",
    ),
    "a switch in place of a tolerance": ({"rtol": True}, ParameterError, "rtol must be a positive"),
    "a field that is complex": (
        {"vector_field": lambda t, y, p: 1j * p["k"] * y},
        ParameterError,
        r"vector_field fails[\s\S]*complex numbers",
    ),
    "a field that names states which have no names": (
        {"vector_field": lambda t, y, p: {"hare": -y[0], "lynx": -y[1]}},
        ParameterError,
        r"vector_field fails[\s\S]*returns hare, lynx; states are not named",
    ),
    "a field with a state too many": (
        {
            "vector_field": lambda t, y, p: {"hare": -y["hare"], "lynx": 0.0},
            "y0": {"hare": 1.0},
            "likelihood": lambda y: pm.Normal.dist(y["hare"], 0.1),
            "observed": np.ones(3),
        },
        ParameterError,
        r"vector_field fails[\s\S]*returns hare, lynx; states are hare",
    ),
    "vectors under a name": (
        {"observe": lambda t, y, p: {"both": y}},
        ShapeError,
        r"must return numbers in it[\s\S]*both of shape \(2,\)",
    ),
    "vectors among several distributions": (
        {
            "likelihood": lambda y: (pm.MvNormal.dist(y, np.eye(2)), pm.Normal.dist(y[..., 0])),
            "observed": np.ones((3, 2)),
        },
        ShapeError,
        r"observe one number at a time[\s\S]*\(\?, 2\)",
    ),
    "all states in each of several distributions": (
        {"likelihood": lambda y: (pm.Normal.dist(y, 1.0), pm.Normal.dist(y, 2.0))},
        ShapeError,
        r"observe one number at a time[\s\S]*y\[\.\.\., 0\]",
    ),
    "derivatives by a start, in reverse": (
        {"t0": -pt.exp(pm.Normal.dist()), "sensitivity": "reverse"},
        ParameterError,
        "has no derivatives by times",
    ),
    "an input whose times do not increase": (
        {"params": {"k": 1.0, "u": pmj.interpolated([0.0, 2.0, 1.0], [0.0, 1.0, 2.0])}},
        ParameterError,
        "times of an interpolated input must increase",
    ),
    "an input without an end": (
        {"params": {"k": 1.0, "u": pmj.interpolated([0.0, np.inf], [0.0, 1.0])}},
        ParameterError,
        "and be finite",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_named(mistake):
    changes, error, message = MISTAKES[mistake]
    with pm.Model(), pytest.raises(error, match=message):
        pmj.ODEObserved("y", **{**RIGHT, **changes})


@pytest.mark.parametrize("size", [0, -0.1, np.inf, "small", True])
def test_a_size_of_steps_that_is_not_a_positive_number(size):
    with pytest.raises(ParameterError, match="RK4: step_size must be a positive number"):
        pmj.RK4(step_size=size)


def test_a_kind_of_interpolation_that_does_not_exist():
    with pytest.raises(ParameterError, match=r"kind is not known[\s\S]*'quadratic'"):
        pmj.interpolated([0.0, 1.0], [0.0, 1.0], kind="quadratic")


def test_right_arguments_are_accepted():
    with pm.Model():
        pmj.ODEObserved("y", **RIGHT)
