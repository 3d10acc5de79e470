"""Predictions for subjects that are not in the data, drawn from the population."""

from functools import lru_cache

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError, ShapeError

TIMES = np.array([0.5, 1.0, 2.0])
MEAN, BETWEEN = np.log(0.7), 0.3
N_DRAWS = 400


@lru_cache
def population():
    """Three subjects with rates and volumes of their own, dosed by a bolus."""
    with pm.Model() as model:
        mean, between = pm.Normal("mean"), pm.HalfNormal("between")
        rate = pt.exp(mean + between * pm.Normal("z", shape=3))
        volume = pm.LogNormal("volume", shape=3)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: {"drug": -p["rate"] * y["drug"]},
            params={"rate": rate},
            y0={"drug": np.zeros(3)},
            times=TIMES,
            observe="drug",
            events=pmj.Doses([0.0], 2.0, "drug"),
            likelihood=lambda drug: pm.Normal.dist(drug / volume[:, None], 0.1),
            observed=np.ones((3, 3)),
            solver="tsit5",
            atol=1e-9,
        )
    return model


def draws(between=BETWEEN):
    lead = ("chain", "draw")
    shape = (2, N_DRAWS // 2)
    return {
        "posterior": xr.Dataset(
            {
                "mean": (lead, np.full(shape, MEAN)),
                "between": (lead, np.full(shape, between)),
                "z": ((*lead, "s"), np.zeros((*shape, 3))),
                "volume": ((*lead, "s"), np.ones((*shape, 3))),
            }
        )
    }


def new_rates(n):
    model = population()
    return {"rate": pt.exp(model["mean"] + model["between"] * pm.Normal.dist(shape=n))}


def test_new_subjects_have_the_distribution_of_the_population():
    """At dose 2 the solution is 2 exp(-rate t), from which each rate is read."""
    volume = pm.LogNormal.dist(np.log(10.0), 0.2, shape=2)
    predicted = pmj.predict(
        draws(),
        "y",
        times=[0.5, 1.0],
        params=new_rates(2),
        y0={"drug": np.zeros(2)},
        likelihood=lambda drug: pm.Normal.dist(drug / volume[:, None], 1e-6),
        model=population(),
        random_seed=1,
    )
    solution = predicted["y_solution"].values
    assert solution.shape == (2, N_DRAWS // 2, 2, 2)
    log_rate = np.log(-np.log(solution / 2) / [0.5, 1.0])
    assert_allclose(log_rate[..., 0], log_rate[..., 1], atol=1e-5)  # one subject, two times
    flat = log_rate[..., 0].reshape(N_DRAWS, 2)
    assert_allclose(flat.mean(0), MEAN, atol=5 * BETWEEN / np.sqrt(N_DRAWS))
    assert_allclose(flat.std(0), BETWEEN, rtol=0.2)
    assert abs(np.corrcoef(flat.T)[0, 1]) < 0.2
    log_volume = np.log(solution / predicted["y"].values)
    assert_allclose(log_volume[..., 0], log_volume[..., 1], atol=1e-3)
    assert_allclose(log_volume[..., 0].std(), 0.2, rtol=0.15)


def test_another_dose_for_the_same_subjects():
    predicted = pmj.predict(
        draws(), "y", events=pmj.Doses([0.0, 1.0], [2.0, 4.0], "drug"), model=population()
    )
    decayed = np.exp(-np.exp(MEAN) * TIMES)
    expected = 2 * decayed + np.where(TIMES > 1, 4 * np.exp(-np.exp(MEAN) * (TIMES - 1)), 0)
    assert predicted["y"].shape == (2, N_DRAWS // 2, 3, 3)
    assert_allclose(predicted["y_solution"][0, 0, 2], expected, rtol=1e-5)


def test_a_steady_state_stays_one():
    """Another rate of elimination has another steady state, with the doses of the model."""
    with pm.Model() as model:
        rate = pm.HalfNormal("rate")
        pmj.ODEObserved(
            "y",
            lambda t, y, rate: -rate * y,
            params=rate,
            y0=[0.0],
            times=[0.0, 1.0],
            observe=0,
            events=pmj.Doses([0.0], 2.0, 0, interval=1.0, steady_state=40),
            likelihood=lambda y: pm.Normal.dist(y, 1.0),
            observed=[1.0, 1.0],
            solver="tsit5",
            atol=1e-9,
        )
    idata = {"posterior": xr.Dataset({"rate": (("chain", "draw"), [[1.0]])})}
    same = {"observations": False, "model": model}
    for factor, changes in ((1.0, {}), (2.0, {"params": 2 * rate}), (1.0, {"y0": [1e-3]})):
        solution = pmj.predict(idata, "y", **changes, **same)["y_solution"].values.ravel()
        before = 2 / np.expm1(factor)
        assert_allclose(solution, [before, (before + 2) * np.exp(-factor)], rtol=1e-5)
    once = pmj.predict(idata, "y", events=pmj.Doses([0.0], 2.0, 0), **same)["y_solution"]
    assert_allclose(once.values.ravel(), [0.0, 2 * np.exp(-1.0)], rtol=1e-5)


def test_a_likelihood_with_parameters_of_the_old_subjects():
    with pytest.raises(ShapeError, match="likelihood"):
        pmj.predict(draws(), "y", params=new_rates(5), y0={"drug": np.zeros(5)}, model=population())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": [0.1]}, "structure"),
        ({"y0": np.zeros((2, 1))}, "name the states"),
        ({"y0": {"dose": 0.0}}, "every state of the model"),
    ],
)
def test_changes_that_do_not_fit(changes, message):
    with pytest.raises(ParameterError, match=message):
        pmj.predict(draws(), "y", model=population(), **changes)


def test_draws_that_are_missing():
    idata = {"posterior": draws()["posterior"].drop_vars("between")}
    with pytest.raises(ParameterError, match="between"):
        pmj.predict(idata, "y", params=new_rates(2), y0={"drug": np.zeros(2)}, model=population())


def test_new_parameters_alone_are_for_the_subjects_of_the_model():
    """Two rates belong to no two of three subjects: their states have to be given as well."""
    same = {"model": population(), "observations": False}
    predicted = pmj.predict(draws(), "y", params={"rate": np.ones(1)}, **same)["y_solution"]
    assert_allclose(predicted[0, 0], np.tile(2 * np.exp(-TIMES), (3, 1)), rtol=1e-5)
    with pytest.raises(ShapeError, match=r"still those of the model[\s\S]*y0=\.\.\."):
        pmj.predict(draws(), "y", params={"rate": np.ones(2)}, **same)


def test_new_parameters_of_two_subjects_are_not_taken_for_those_of_two_states():
    with pm.Model() as model:
        pmj.ODEObserved(
            "y",
            lambda t, y, rate: -rate * y,
            params=pm.HalfNormal("rate", shape=3),
            y0=np.ones((3, 2)),
            times=TIMES,
            likelihood=lambda y: pm.Normal.dist(y, 1.0),
            observed=np.ones((3, 3, 2)),
            solver="tsit5",
        )
    idata = {"posterior": xr.Dataset({"rate": (("chain", "draw", "s"), np.ones((1, 1, 3)))})}
    with pytest.raises(ShapeError, match="they fit no subject of the model"):
        pmj.predict(idata, "y", params=np.ones(2), model=model)
