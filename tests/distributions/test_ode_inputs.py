"""Initial states, times, inputs and doses mean what they look like."""

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from pytensor.compile.mode import Mode
from scipy.stats import norm

import pymc_jaxdist as pmj

MODES = {"C": Mode(linker="cvm", optimizer="fast_run"), "Numba": "NUMBA", "JAX": "JAX"}


def at_start(y0):
    """Return the initial states as the solution shows them."""
    field = lambda t, y, p: -p * y  # noqa: E731
    return pmj.ode_solution(field, params=1.0, y0=y0, times=[0.0]).eval()[..., 0, :]


def test_lists_of_lists_are_rows_of_subjects_like_the_array():
    rows = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert_array_equal(at_start(rows), rows)
    assert_array_equal(at_start(np.array(rows)), rows)
    assert_array_equal(at_start([[1.0], [2.0], [3.0]]), [[1.0], [2.0], [3.0]])


def test_rows_may_hold_variables():
    x = pt.as_tensor_variable(2.0)
    assert_array_equal(at_start([[x, 0.0], [1.0, 2 * x]]), [[2.0, 0.0], [1.0, 4.0]])


def test_a_list_of_arrays_has_one_for_each_state():
    assert_array_equal(at_start([np.array([1.0, 3.0]), 0.0]), [[1.0, 0.0], [3.0, 0.0]])
    assert_array_equal(at_start([pt.ones(3), 0.0]), [[1.0, 0.0]] * 3)
    assert_array_equal(at_start([1.0, 2.0]), [1.0, 2.0])


def decay(times, observed=None, **changes):
    return pmj.ODEObserved.dist(
        lambda t, y, p: -p * y,
        **{"params": 0.5, "y0": np.ones((2, 1)), "observe": 0, "shape": (2, 2), **changes},
        times=times,
        likelihood=lambda y: pm.Normal.dist(y, 0.1),
    )


@pytest.mark.parametrize("mode", MODES)
def test_what_has_no_time_was_not_observed(mode):
    """Where times are data that are replaced, a value without a time says nothing."""
    times = pytensor.shared(np.array([[1.0, 2.0], [1.0, np.nan]]))
    value = pt.dmatrix("value")
    logp = pytensor.function([value], pm.logp(decay(times), value), mode=MODES[mode])
    seen = np.array([[0.4, 0.1], [0.4, 0.9]])
    expected = pm.logp(pm.Normal.dist(np.exp(-0.5 * np.array([1.0, 2.0])), 0.1), seen).eval()
    expected[1, 1] = 0.0
    assert_allclose(logp(seen), expected, rtol=1e-5)


def predicted(times, t0=0.0, n_t0=None, **changes):
    with pm.Model() as model:
        rate = pm.HalfNormal("rate")
        pmj.ODEObserved(
            "y",
            lambda t, y, p: {"prey": -p * y["prey"], "predator": 0 * y["predator"]},
            params=rate,
            y0={"prey": 1.0 if n_t0 is None else np.ones(n_t0), "predator": 7.0},
            t0=t0,
            times=[1.0, 2.0],
            observe="predator",
            likelihood=lambda y: pm.Normal.dist(y, 1e-9),
            observed=np.full((2,) if n_t0 is None else (n_t0, 2), 7.0),
        )
    draws = xr.Dataset({"rate": (("chain", "draw"), [[1.0, 2.0]])})
    return pmj.predict({"posterior": draws}, "y", times=times, model=model, **changes)


def test_names_of_new_initial_states_may_come_in_any_order():
    found = predicted([1.0, 2.0], y0={"predator": 3.0, "prey": 5.0})
    assert_allclose(found["y_solution"], np.full((1, 2, 2), 3.0))


def test_a_prediction_at_no_time_or_before_the_start_is_nan():
    found = predicted([-1.0, 1.0, np.nan, 2.0])
    for name in "y_solution", "y":
        expected = np.broadcast_to([np.nan, 7.0, np.nan, 7.0], (1, 2, 4))
        assert_allclose(found[name], expected)
    assert found["time"].values.tolist()[:2] == [-1.0, 1.0]


def test_each_subject_begins_at_its_own_time():
    found = predicted([0.25, 1.0], t0=np.array([0.0, 0.5, 0.75]), n_t0=3)["y_solution"]
    expected = [[7.0, 7.0], [np.nan, 7.0], [np.nan, 7.0]]
    assert_allclose(found, np.broadcast_to(expected, (1, 2, 3, 2)))


def test_new_subjects_share_times():
    found = predicted([np.nan, 2.0], y0={"prey": np.ones(3), "predator": np.arange(3.0)})
    expected = [[np.nan, 0.0], [np.nan, 1.0], [np.nan, 2.0]]
    assert_allclose(found["y_solution"], np.broadcast_to(expected, (1, 2, 3, 2)))


def total(rain, subjects=(), times=(3.0,)):
    """Integrate an input."""
    return pmj.ode_solution(
        lambda t, y, p: jnp.stack([p(t)]), params=rain, y0=np.zeros((*subjects, 1)), times=times
    ).eval()[..., 0]


@pytest.mark.parametrize("kind", ["linear", "previous", "cubic"])
def test_inputs_are_lists_or_arrays(kind):
    times, values = [0.0, 1.0, 3.0], [0.0, 2.0, 0.0]
    of_lists = total(pmj.interpolated(times, values, kind))
    assert_allclose(of_lists, total(pmj.interpolated(np.array(times), np.array(values), kind)))
    if kind != "cubic":
        assert_allclose(of_lists, 3.0 if kind == "linear" else 4.0, rtol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_as_many_subjects_as_knots_share_an_input(kind):
    rain = pmj.interpolated([0.0, 1.0, 3.0], [0.0, 2.0, 0.0], kind)
    alone = total(rain)
    assert_allclose(total(rain, subjects=(3,)), np.broadcast_to(alone, (3, 1)), rtol=1e-6)


def test_inputs_of_each_subject():
    values = np.array([[0.0, 2.0, 0.0], [0.0, 4.0, 0.0]])
    assert_allclose(
        total(pmj.interpolated([0.0, 1.0, 3.0], values), subjects=(2,)), [[3.0], [6.0]], rtol=1e-5
    )


def amount(doses, subjects=(), times=(0.5, 3.0), **changes):
    """Return how much was given, of which nothing is lost."""
    return pmj.ode_solution(
        lambda t, y, p: 0.0 * y,
        params=1.0,
        y0=np.zeros((*subjects, 1)),
        times=times,
        events=doses,
        **changes,
    ).eval()[..., 0]


def test_an_infusion_by_its_rate():
    assert_allclose(amount(pmj.Doses([0.0], 4.0, 0, rate=2.0)), [1.0, 4.0], rtol=1e-6)


def test_amounts_of_each_subject_at_shared_times():
    doses = pmj.Doses([0.0, 1.0], np.array([[1.0], [2.0]]), np.int64(0))
    assert_allclose(amount(doses, (2,)), [[1.0, 2.0], [2.0, 4.0]], rtol=1e-6)


def test_infusions_are_padded_with_nan():
    times = np.array([[0.0, 1.0], [0.0, np.nan]])
    doses = pmj.Doses(times, times * 0 + 3.0, 0, duration=times * 0 + 1.0)
    assert_allclose(amount(doses, (2,)), [[1.5, 6.0], [1.5, 3.0]], rtol=1e-6)


def test_the_gradient_of_padded_infusions_is_finite():
    times = np.array([[0.0, 1.0], [0.0, np.nan]])
    duration, given = pt.dscalar("duration"), pt.dscalar("given")
    doses = pmj.Doses(times, given + 0 * times, 0, duration=duration + 0 * times)
    solution = pmj.ode_solution(
        lambda t, y, p: 0.0 * y, params=1.0, y0=np.zeros((2, 1)), times=[0.5], events=doses
    )
    gradient = pt.grad(solution.sum(), [duration, given])
    found = pytensor.function([duration, given], gradient)(2.0, 3.0)
    assert_allclose(found, [-2 * 3.0 * 0.5 / 4.0, 2 * 0.5 / 2.0], rtol=1e-6)


def checked(solver, **changes):
    with pm.Model() as model:
        rate = pm.Uniform("rate", 0.9, 1.1)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: -p * y,
            params=rate,
            y0=[1.0],
            times=[2.0, 4.0],
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, 0.001),
            observed=np.exp([-2.0, -4.0]),
            solver=solver,
        )
    return pmj.check_ode(model, draws=10, random_seed=1)


TIMES = [0.5, 1.0, 2.0]


def decay_of_two(**changes):
    """Return the log-density of the observations of two states that decay."""
    arguments = {
        "vector_field": lambda t, y, p: {"fast": -2.0 * y["fast"], "slow": -p * y["slow"]},
        "params": 1.0,
        "y0": {"fast": 1.0, "slow": 3.0},
        "times": TIMES,
        "likelihood": lambda y: pm.Normal.dist(y["slow"], 0.1),
        "observed": np.ones(3),
        **changes,
    }
    with pm.Model() as model:
        y = pmj.ODEObserved("y", **arguments)
    return model.compile_logp(vars=[y], sum=False)({})[0]


def test_a_function_to_observe_may_name_what_it_returns():
    expected = norm.logpdf(1.0, np.exp([-1, -2, -4]) + 3 * np.exp([-0.5, -1, -2]), 0.1)
    found = decay_of_two(
        observe=lambda t, y, p: {"late": t > 1, "total": y["fast"] + y["slow"]},
        likelihood=lambda y: pm.Normal.dist(y["total"], 0.1),
    )
    assert_allclose(found, expected, rtol=1e-5)


def test_states_of_a_linear_system_may_have_names():
    matrix = lambda p: jnp.diag(jnp.array([-2.0, -p]))  # noqa: E731
    assert_allclose(decay_of_two(vector_field=pmj.LinearODE(matrix)), decay_of_two(), rtol=1e-5)


def test_masked_times_are_missing():
    times = np.ma.masked_array([0.5, 1.0, 2.0], [False, True, False])
    found = decay_of_two(times=times, observed=[1.0, np.nan, 1.0])
    assert_allclose(found[[0, 2]], decay_of_two()[[0, 2]], rtol=1e-8)
    assert found[1] == 0.0


@pytest.mark.slow
def test_steps_of_fixed_size_are_checked_against_smaller_ones():
    report = checked(pmj.RK4(1.0))
    assert report.value_error > 1.0
    assert any("smaller steps (now 1)" in text for text in report.advice)
    assert checked(pmj.RK4(0.01)).value_error < 1e-3


@pytest.mark.slow
def test_stiffness_is_told_only_by_a_method_that_notices_it():
    assert "not known" in str(checked("stiff"))
    assert "not known" in str(checked(pmj.RK4(0.1)))
    assert "0.0%" in str(checked("auto"))
