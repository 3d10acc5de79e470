"""After sampling, one call tells how many solves failed, of which subject, why, and where."""

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytest

import pymc_jaxdist as pmj
from tests.distributions.compiled import interpreted

RATES = np.array([0.9, 0.05])
QUIET = {"progressbar": False, "compute_convergence_checks": False, "random_seed": 1}


def explosive_model(likelihood=lambda y: pm.Normal.dist(y, 20.0)):
    """Two subjects, ``y' = r y**2`` from 1: infinite at ``1 / r``, for the first one soon."""
    times = np.array([0.5, 1.0])
    with pm.Model() as model:
        rate = pm.LogNormal("rate", -0.5, 0.7, shape=2)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: p["rate"] * y**2,
            params={"rate": rate},
            y0=np.ones((2, 1)),
            times=times,
            observe=0,
            likelihood=likelihood,
            observed=1 / (1 - RATES[:, None] * times),
            max_steps=300,
        )
    return model


@pytest.fixture(scope="module")
def model():
    return explosive_model()


def check(report, model):
    assert report.n_failed > 0
    assert set(report.reasons) <= {"too many steps", "step too small", "not finite"}
    assert sum(report.reasons.values()) == len(report.failures)
    assert (0,) in report.by_subject
    for failure in report.failures:
        assert failure.params["rate"] > 0.99  # it is infinite before the last observation
    text = str(report)
    assert "ODEObserved 'y'" in text
    assert "rate = " in text
    assert "subject" in text or len(report.by_subject) == 1


@pytest.mark.slow
def test_pymc_in_this_process(model):
    pmj.impossible_evaluations(reset=True)
    with interpreted(), model:
        idata = pm.sample(150, tune=150, chains=1, cores=1, nuts_sampler="pymc", **QUIET)
    report = pmj.failed_solves(idata, model)
    check(report, model)
    assert report.source == "sampling"
    assert report.n_failed == pmj.impossible_evaluations()["ODE log-likelihood"]
    assert len(report.failures) >= min(50, report.n_failed)


@pytest.mark.slow
def test_nutpie(model):
    pytest.importorskip("nutpie")
    pmj.impossible_evaluations(reset=True)
    with model:
        idata = pm.sample(150, tune=150, chains=2, nuts_sampler="nutpie", **QUIET)
    report = pmj.failed_solves(idata, model)
    check(report, model)
    assert report.source == "sampling"


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["numpyro", "worker processes"])
def test_where_nothing_is_remembered_proposals_are_made_again(model, sampler):
    options = {
        "nuts_sampler": "numpyro",
        "nuts_sampler_kwargs": {"chain_method": "vectorized"},
    }
    if sampler == "worker processes":
        options = {"nuts_sampler": "pymc", "cores": 2}
    with interpreted() if "cores" in options else model, model:
        idata = pm.sample(150, tune=150, chains=2, **options, **QUIET)
    pmj.impossible_evaluations(reset=True)
    report = pmj.failed_solves(idata, model, random_seed=1)
    check(report, model)
    assert report.source == "proposals"
    assert report.n_evaluations > report.n_failed


def test_nothing_failed_and_nothing_is_known(model):
    pmj.impossible_evaluations(reset=True)
    report = pmj.failed_solves(model=model)
    assert (report.n_failed, report.failures, report.reasons) == (0, [], {})
    assert "0 evaluations failed" in str(report)


def test_observations_that_are_impossible_although_the_equation_is_solved():
    """The number of failures, their subjects and parameters, of data below a Pareto scale."""
    with pm.Model() as model:
        level = pm.Normal("level")
        pmj.ODEObserved(
            "y",
            lambda t, y, p: jnp.zeros_like(y) * p,
            params=level,
            y0=pm.math.stack([[level], [level + 2]]),
            times=[1.0, 2.0],
            observe=0,
            likelihood=lambda y: pm.Pareto.dist(2.0, y),
            observed=[[2.0, 2.0], [6.0, 6.0]],
        )
    pmj.impossible_evaluations(reset=True)
    function = model.compile_logp()
    for value in [1.0, 3.0, 5.0]:
        function({"level": value})
    report = pmj.failed_solves(model=model)
    assert report.n_failed == 2
    assert report.reasons == {"impossible observation": 3}
    assert report.by_subject == {
        (0,): {"impossible observation": 2},
        (1,): {"impossible observation": 1},
    }
    assert sorted(float(f.y0[0]) for f in report.failures) == [3.0, 5.0, 7.0]


@pytest.mark.slow
def test_no_more_than_fifty_are_remembered(model):
    pmj.impossible_evaluations(reset=True)
    function = model.compile_logp()
    for value in np.linspace(0.2, 2.0, 80):
        function({"rate_log__": np.array([value, -1.0])})
    report = pmj.failed_solves(model=model)
    assert report.n_failed == 80
    assert len(report.failures) == 50
    rates = [failure.params["rate"] for failure in report.failures]
    assert min(rates) < 2 < 5 < max(rates)  # from the beginning and from the end
