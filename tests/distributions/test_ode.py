"""ODEObserved: log-density, gradient and draws against solutions known in closed form."""

import re
from functools import lru_cache

import cloudpickle
import diffrax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pytensor.graph.traversal import ancestors
from scipy.stats import norm, poisson, t

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ShapeError
from pymc_jaxdist.ops import LogDensity
from tests.distributions.compiled import FAST, some_draws

RATES = np.array([1.0, 0.5, 0.3])
STEP = 1e-6
FAST_SOLVER = {"solver": "tsit5", "rtol": 1e-9}


def decay(time, y, rate):
    return -rate * y


def compiled(model):
    """Return the log-density of each observation, and the gradient of the model's."""
    [logp] = model.logp(vars=model.observed_RVs, sum=False)
    return model.compile_fn(logp, mode=FAST), model.compile_fn(model.dlogp(), mode=FAST)


def check_gradient(model, point):
    """Compare the gradient with central differences of the log-density."""
    total = model.compile_fn(model.logp(), mode=FAST)
    gradient = model.compile_fn(model.dlogp(), mode=FAST)(point)
    expected = []
    for name, value in point.items():
        for j in range(np.size(value)):
            shift = np.zeros(np.size(value))
            shift[j] = STEP
            shift = shift.reshape(np.shape(value))
            ahead, behind = ({**point, name: value + s} for s in (shift, -shift))
            expected.append((total(ahead) - total(behind)) / (2 * STEP))
    assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)


def test_subjects_with_times_of_their_own_missing_values_and_repetitions():
    times = np.array([[1, 2, 3.0], [2.0, 2, np.nan], [0, 5, 1]])
    observed = np.array([[0.3, 0.1, np.nan], [0.2, 0.1, np.nan], [1, 0.1, 0.4]])
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 0, 1, shape=3)
        pmj.ODEObserved(
            "y",
            decay,
            params=rate,
            y0=np.ones((3, 1)),
            times=times,
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=observed,
            **FAST_SOLVER,
        )
    point = {"rate_log__": np.log(RATES)}
    expected = np.nan_to_num(norm(np.exp(-RATES[:, None] * times), 0.1).logpdf(observed))
    assert_allclose(compiled(model)[0](point), expected, atol=1e-6)
    check_gradient(model, point)


@lru_cache
def unknown_start(sensitivity="auto", solver="tsit5"):
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 0, 1)
        start = pm.LogNormal("start", 0, 1)
        begins = pm.Uniform("begins", -1, 0.5) if sensitivity == "auto" else 0.0
        pmj.ODEObserved(
            "y",
            decay,
            params=rate,
            y0=[start],
            t0=begins,
            times=[1.0, 2, 3],
            observe=0,
            likelihood=lambda y: pm.StudentT.dist(4, mu=y, sigma=0.1 + 0.2 * y),
            observed=[0.3, 0.1, 0.1],
            solver=solver,
            sensitivity=sensitivity,
            rtol=1e-9,
        )
    return model


def test_unknown_initial_state_and_time_and_a_proportional_scale():
    model = unknown_start()
    point = {k: np.array(v) for k, v in model.initial_point().items()}
    check_gradient(model, point)
    start, rate = np.exp(point["start_log__"]), np.exp(point["rate_log__"])
    y = start * np.exp(-rate * (np.arange(1.0, 4) + 0.25))
    expected = t(4, y, 0.1 + 0.2 * y).logpdf([0.3, 0.1, 0.1])
    assert_allclose(compiled(model)[0](point), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("sensitivity", "solver"),
    [
        pytest.param("reverse", "stiff", marks=pytest.mark.slow),
        ("forward", pmj.RK4(step_size=0.01)),
    ],
)
def test_solvers_agree(sensitivity, solver):
    model, reference = unknown_start(sensitivity, solver), unknown_start("forward", "tsit5")
    point = reference.initial_point()
    for mine, theirs in zip(compiled(model), compiled(reference), strict=True):
        assert_allclose(mine(point), theirs(point), rtol=1e-6)


@pytest.mark.slow
def test_diffrax_solver():
    model = unknown_start("reverse", diffrax.Dopri5())
    point = model.initial_point()
    reference = unknown_start("forward", "tsit5")
    for mine, theirs in zip(compiled(model), compiled(reference), strict=True):
        assert_allclose(mine(point), theirs(point), rtol=1e-5)
    cloudpickle.loads(cloudpickle.dumps(model))


def test_channels_of_different_distributions():
    observed = np.array([[0.3, 20], [0.1, np.nan], [0.05, 3]])
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 0, 1)
        scale = pm.HalfNormal("scale")
        pmj.ODEObserved(
            "y",
            decay,
            params=rate,
            y0=[1.0, 50.0],
            times=[1.0, 2, 3],
            likelihood=lambda y: (
                pm.Normal.dist(y[..., 0], scale),
                pm.Poisson.dist(y[..., 1]),
            ),
            observed=observed,
            **FAST_SOLVER,
        )
        prior = pm.sample_prior_predictive(2, random_seed=1)
    point = model.initial_point()
    y = np.exp(-np.arange(1.0, 4) * np.exp(point["rate_log__"]))
    expected = np.stack(
        [
            norm(y, np.exp(point["scale_log__"])).logpdf(observed[:, 0]),
            poisson(50 * y).logpmf(observed[:, 1]),
        ],
        axis=-1,
    )
    assert_allclose(compiled(model)[0](point), np.nan_to_num(expected), atol=1e-6)
    draws = prior["prior_predictive"]["y"].values
    assert draws.shape == (1, 2, 3, 2)
    assert (draws[..., 1] == np.round(draws[..., 1])).all()


def test_named_states_observed_by_name_below_a_limit_of_quantification():
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 0, 1)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: {"drug": -p["k"] * y["drug"], "gone": p["k"] * y["drug"]},
            params={"k": rate},
            y0={"drug": 1.0, "gone": 0.0},
            times=[1.0, 2, 3],
            observe="drug",
            likelihood=lambda y: pm.Censored.dist(pm.Normal.dist(y, 0.1), lower=0.1, upper=None),
            observed=[0.3, 0.1, 0.1],
            **FAST_SOLVER,
        )
    point = model.initial_point()
    y = norm(np.exp(-np.arange(1.0, 4) * np.exp(point["rate_log__"])), 0.1)
    expected = [y.logpdf(0.3)[0], *y.logcdf(0.1)[1:]]
    assert_allclose(compiled(model)[0](point), expected, atol=1e-6)


def test_a_function_of_the_states():
    seen = pmj.ode_solution(
        decay,
        params=1.0,
        y0=[1.0, 2.0],
        times=[0.0, 1.0],
        observe=lambda t, y, p: y[0] + y[1] + t,
        **FAST_SOLVER,
    ).eval(mode=FAST)
    assert_allclose(seen, [3.0, 3 * np.exp(-1) + 1], rtol=1e-7)


def two_compartments(t, y, p):
    return {
        "depot": -p["ka"] * y["depot"],
        "central": p["ka"] * y["depot"] - p["k"] * y["central"],
    }


def test_repeated_doses():
    times = np.array([1.0, 5, 12, 13, 24, 30])
    ka, k = pt.dscalars("ka", "k")
    solution = pmj.ode_solution(
        two_compartments,
        params={"ka": ka, "k": k},
        y0={"depot": 0.0, "central": 0.0},
        times=times,
        events=pmj.Doses([0.0], 10.0, "depot", interval=12.0, additional=2),
        **FAST_SOLVER,
        atol=1e-9,
    )["central"]
    run = pytensor.function([ka, k], [solution, *pt.grad(solution.sum(), [ka, k])], mode=FAST)

    def exact(ka, k):
        since = times[:, None] - np.array([0, 12, 24])
        of_each = 10 * ka / (ka - k) * (np.exp(-k * since) - np.exp(-ka * since))
        return np.where(since > 0, of_each, 0).sum(1)

    value, by_ka, by_k = run(1.2, 0.1)
    assert_allclose(value, exact(1.2, 0.1), atol=1e-7)
    assert_allclose(by_ka, (exact(1.2 + STEP, 0.1) - exact(1.2 - STEP, 0.1)).sum() / 2e-6, 1e-6)
    assert_allclose(by_k, (exact(1.2, 0.1 + STEP) - exact(1.2, 0.1 - STEP)).sum() / 2e-6, 1e-6)


@pytest.mark.parametrize("duration", [None, 3.0])
def test_doses_at_steady_state(duration):
    """The closed form: each dose's contribution, summed over all doses there ever were."""
    times = np.array([0.0, 1.0, 5.0, 12.0, 13.0, 30.0])
    rate = pt.dscalar("rate")
    solution = pmj.ode_solution(
        decay,
        params=rate,
        y0=[0.0],
        times=times,
        events=pmj.Doses(
            [0.0], 6.0, 0, duration=duration, interval=12.0, additional=1, steady_state=20
        ),
        **FAST_SOLVER,
        atol=1e-9,
    )[:, 0]
    run = pytensor.function([rate], [solution, pt.grad(solution.sum(), rate)], mode=FAST)

    def exact(rate, n_before=1000):
        since = times[:, None] - 12.0 * np.arange(-n_before, 2)
        if duration is None:
            return np.where(since > 0, 6 * np.exp(-rate * since), 0).sum(1)
        flowing = np.clip(since, 0, duration)
        of_each = 2 / rate * (1 - np.exp(-rate * flowing))
        return (of_each * np.exp(-rate * (np.maximum(since, 0) - flowing))).sum(1)

    value, gradient = run(0.15)
    assert_allclose(value, exact(0.15), rtol=1e-7)
    expected = (exact(0.15 + STEP) - exact(0.15 - STEP)).sum() / (2 * STEP)
    assert_allclose(gradient, expected, rtol=1e-6)
    assert abs(exact(0.15, 0)[0] - exact(0.15)[0]) > 1.0  # it matters


def test_infusion_after_an_unknown_delay():
    times = np.array([0.5, 2, 5, 10.0])
    delay = pt.dscalar("delay")
    solution = pmj.ode_solution(
        decay,
        params=0.5,
        y0=[0.0],
        times=times,
        events=pmj.Doses(pt.stack([delay]), 6.0, 0, duration=3.0),
        **FAST_SOLVER,
        atol=1e-9,
    )
    run = pytensor.function([delay], [solution[:, 0], pt.grad(solution.sum(), delay)], mode=FAST)

    def exact(delay):
        since = np.maximum(times - delay, 0)
        flowing = np.minimum(since, 3)
        return 4 * (1 - np.exp(-0.5 * flowing)) * np.exp(-0.5 * (since - flowing))

    value, gradient = run(1.0)
    assert_allclose(value, exact(1.0), atol=1e-7)
    assert_allclose(gradient, (exact(1 + STEP) - exact(1 - STEP)).sum() / (2 * STEP), rtol=1e-6)


def test_jumps_happen_after_an_observation_at_the_same_time():
    solution = pmj.ode_solution(
        lambda t, y, p: 0 * y,
        params=None,
        y0=[8.0],
        times=[0.5, 1, 1.5, 2.5],
        events=pmj.Jumps([1.0, 2.0], lambda y, p: y * 0.5),
        **FAST_SOLVER,
    )
    assert_allclose(solution.eval(mode=FAST)[:, 0], [8, 8, 4, 2])


@pytest.mark.parametrize(("kind", "expected"), [("linear", 4.5), ("previous", 4.0)])
def test_interpolated_inputs(kind, expected):
    values = pt.dvector("values")
    force = pmj.interpolated(np.arange(6.0), values, kind)
    solution = pmj.ode_solution(
        lambda t, y, p: jnp.stack([p["force"](t)]),
        params={"force": force},
        y0=[0.0],
        times=[1.0, 2, 5],
        **FAST_SOLVER,
    )
    run = pytensor.function([values], [solution[-1, 0], pt.grad(solution[-1, 0], values)])
    value, gradient = run([0.0, 1, 0, 2, 1, 1])
    assert_allclose(value, expected, rtol=1e-7)
    weights = [0.5, 1, 1, 1, 1, 0.5] if kind == "linear" else [1, 1, 1, 1, 1, 0]
    assert_allclose(gradient, weights, atol=1e-7)


def test_linear_systems():
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 0, 1)
        system = pmj.LinearODE(
            lambda p: jnp.array([[-p, 0.0], [p, -0.1]]), lambda p: jnp.array([0.0, 1.0])
        )
        pmj.ODEObserved(
            "y",
            system,
            params=rate,
            y0=[1.0, 0.0],
            times=[1.0, 2, 3],
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=np.ones((3, 2)),
        )
    with pm.Model() as stepped:
        rate = pm.LogNormal("rate", 0, 1)
        pmj.ODEObserved(
            "y",
            system.__call__,
            params=rate,
            y0=[1.0, 0.0],
            times=[1.0, 2, 3],
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=np.ones((3, 2)),
            **FAST_SOLVER,
        )
    point = model.initial_point()
    for mine, theirs in zip(compiled(model), compiled(stepped), strict=True):
        assert_allclose(mine(point), theirs(point), rtol=1e-5)


@lru_cache
def explosive():
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 0, 1, shape=2)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: p * y**2,
            params=rate,
            y0=np.ones((2, 1)),
            times=[0.1, 0.5],
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=np.ones((2, 2)),
            solver="tsit5",
            max_steps=300,
        )
    return model


def test_a_failed_solve_concerns_its_subject_alone():
    logp, gradient = compiled(explosive())
    point = {"rate_log__": np.array([0.0, 3.0])}
    pmj.impossible_evaluations(reset=True)
    assert np.isfinite(logp(point)[0]).all()
    assert (logp(point)[1] == -np.inf).all()
    assert_allclose(gradient(point)[1], -3.0)  # of the prior alone
    assert np.isfinite(gradient(point)).all()
    assert pmj.impossible_evaluations() == {"ODE log-likelihood": 4}


def test_check_ode_names_the_reasons():
    report = pmj.check_ode(explosive(), draws=60, random_seed=1)
    assert 0.05 < report.failed < 0.7
    assert set(report.failures) <= {"too many steps", "step too small", "not finite"}
    assert report.gradient_error < 1e-3
    assert "failed" in str(report)


@pytest.mark.slow
@pytest.mark.parametrize(("atol", "told"), [(None, True), (1e-12, False)])
def test_check_ode_tells_what_the_accuracy_of_small_states_costs(atol, told):
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 3, 1)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: -p * y,
            params=rate,
            y0=np.ones(1),
            times=[0.1, 5.0],
            observe=0,
            likelihood=lambda y: pm.LogNormal.dist(pt.log(y), 0.1),
            observed=np.ones(2),
            solver="tsit5",
            atol=atol,
            max_steps=40,
        )
    report = pmj.check_ode(model, draws=20, random_seed=1)
    assert report.failures["too many steps"] > 2
    assert ("or atol=1e-12 (now 1e-100)" in "\n".join(report.advice)) == told


def test_check_ode_tells_which_subject_fails():
    """With these rates 1 / y = 1 - rate * t: the second subject always blows up before 0.5."""
    draws = np.stack([np.full(10, 0.1), np.linspace(2.5, 5.0, 10)], axis=-1)
    posterior = xr.Dataset({"rate": (("chain", "draw", "subject"), draws[None])})
    report = pmj.check_ode(explosive(), idata={"posterior": posterior})
    total = sum(report.failures_by_subject.values())
    assert total.tolist() == [0, 10]
    assert set(report.failures_by_subject) == set(report.failures)
    assert "subject 1  " in str(report)
    assert "subject 0  " not in str(report)


@pytest.mark.parametrize(("start", "told"), [(None, True), (0.05, False)])
def test_check_ode_looks_at_where_sampling_starts(start, told):
    """PyMC starts a truncated normal variable one above its limit, here 19 deviations away."""
    with pm.Model() as model:
        rate = pm.TruncatedNormal("rate", 0.05, 0.05, lower=0, initval=start)
        pmj.ODEObserved(
            "y",
            decay,
            params=rate,
            y0=[1.0],
            times=[1.0, 5.0, 10.0],
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=np.exp([-0.05, -0.25, -0.5]),
            **FAST_SOLVER,
        )
    advice = "\n".join(pmj.check_ode(model, draws=30, random_seed=1).advice)
    assert ("initvals=pmj.initial_values('y')" in advice) == told


def oscillation(n_periods):
    """Return a model of an oscillation, observed for so many periods."""
    times = np.linspace(0.0, n_periods, 41)[1:]
    with pm.Model() as model:
        frequency = pm.LogNormal("frequency", 0.5, 0.5)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: 2 * jnp.pi * p * jnp.stack([y[1], -y[0]]),
            params=frequency,
            y0=[0.0, 1.0],
            times=times,
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=np.sin(2 * np.pi * times),
            **FAST_SOLVER,
        )
    return model


@pytest.mark.slow
def test_check_ode_tells_whether_chains_may_stay_in_different_modes():
    """A likelihood of a frequency has one mode for each number of periods that fits the data."""
    advice = "\n".join(pmj.check_ode(oscillation(8.0), draws=20, random_seed=1).advice)
    assert re.search(r"from \d of 8 points where PyMC may begin, the nearest mode is not", advice)
    advice = "\n".join(pmj.check_ode(oscillation(0.2), draws=20, random_seed=1).advice)
    assert "nearest mode" not in advice


def test_check_ode_compares_draws_that_the_data_do_not_rule_out():
    """The error of a large log-likelihood is large, but a sampler only passes through there."""
    with pm.Model() as model:
        size = pm.LogNormal("size", 0, 2)
        pmj.ODEObserved(
            "y",
            decay,
            params=1.0,
            y0=size[None],
            times=[1.0],
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, 1e-3),
            observed=[np.exp(-1.0)],
            rtol=1e-5,
            solver="tsit5",
        )
    far, near = np.array([[5.0, 1.0]]), np.array([[1.0, 1.0]])
    errors = [
        pmj.check_ode(model, idata={"posterior": xr.Dataset({"size": (("chain", "draw"), x)})})
        for x in (far, near)
    ]
    assert errors[0].value_error == errors[1].value_error
    alone = xr.Dataset({"size": (("chain", "draw"), far[:, :1])})
    of_far = pmj.check_ode(model, idata={"posterior": alone}).value_error
    assert of_far > 1e3 * errors[1].value_error


def test_log_likelihood_has_one_value_an_observation_and_predictions_other_times():
    model = unknown_start("forward", "tsit5")
    idata = some_draws(model, 20)
    with model:
        pm.compute_log_likelihood(idata, progressbar=False)
        predictive = pm.sample_posterior_predictive(
            idata, var_names=["y"], progressbar=False, random_seed=1
        )
    assert idata["log_likelihood"]["y"].shape == (2, 20, 3)
    assert predictive["posterior_predictive"]["y"].shape == (2, 20, 3)
    predicted = pmj.predict(idata, "y", times=np.linspace(0, 5, 7), model=model, random_seed=1)
    assert predicted["y"].shape == (2, 20, 7)
    posterior = idata["posterior"]
    exact = posterior["start"].values[..., None] * np.exp(
        -posterior["rate"].values[..., None] * np.linspace(0, 5, 7)
    )
    assert_allclose(predicted["y_solution"], exact, rtol=1e-6, atol=1e-10)


@pytest.mark.slow
def test_hessian():
    model = unknown_start("forward", "tsit5")
    point = {k: np.array(v) for k, v in model.initial_point().items()}
    hessian = model.compile_fn(model.d2logp(negate_output=False), mode=FAST)(point)
    gradient = model.compile_fn(model.dlogp(), mode=FAST)
    step = 1e-5
    ahead, behind = ({**point, "rate_log__": point["rate_log__"] + s} for s in (step, -step))
    assert_allclose(hessian[0], (gradient(ahead) - gradient(behind)) / (2 * step), rtol=1e-4)


def test_a_likelihood_that_changes_the_shape_is_refused_when_the_model_is_built():
    with pm.Model(), pytest.raises(ShapeError, match="one row for each of the times"):
        pmj.ODEObserved(
            "y",
            decay,
            params=1.0,
            y0=[1.0],
            times=[1.0, 2.0],
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=np.ones((3, 1)),
        )


def test_dims_give_the_shapes_of_parameters_and_data():
    coords = {"subject": list("abc"), "time": [1.0, 2.0], "state": ["x", "y"]}
    with pm.Model(coords=coords) as model:
        rate = pm.LogNormal("rate", 0, 1, dims="subject")
        start = pm.LogNormal("start", 0, 1, dims="state")
        pmj.ODEObserved(
            "y",
            decay,
            params=rate,
            y0=start,
            times=[1.0, 2.0],
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=np.ones((3, 2, 2)),
            dims=("subject", "time", "state"),
            **FAST_SOLVER,
        )
    point = {"rate_log__": np.log(RATES), "start_log__": np.log([1.0, 2.0])}
    y = np.array([1.0, 2.0]) * np.exp(-RATES[:, None, None] * np.array([[1.0], [2.0]]))
    assert_allclose(compiled(model)[0](point), norm(y, 0.1).logpdf(1.0), atol=1e-5)


def test_data_and_times_can_be_exchanged():
    with pm.Model() as model:
        times = pm.Data("times", np.array([1.0, 2.0]))
        data = pm.Data("data", np.ones(2))
        rate = pm.LogNormal("rate", 0, 1)
        pmj.ODEObserved(
            "y",
            decay,
            params=rate,
            y0=[1.0],
            times=times,
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, 0.1),
            observed=data,
            **FAST_SOLVER,
        )
    logp = compiled(model)[0]
    point = {"rate_log__": np.array(0.0)}
    assert_allclose(logp(point), norm(np.exp([-1.0, -2]), 0.1).logpdf(1.0), atol=1e-5)
    with model:
        pm.set_data({"times": np.array([0.5, 1, 3]), "data": np.zeros(3)})
    assert_allclose(logp(point), norm(np.exp([-0.5, -1, -3]), 0.1).logpdf(0.0), atol=1e-5)


def test_subjects_that_differ_in_their_data_alone():
    """Repetitions of an experiment: one solution, observed three times."""
    data = np.array([[0.4, 0.1], [0.3, 0.2], [0.5, 0.1]])
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 0, 1)
        sigma = pm.HalfNormal("sigma")
        pmj.ODEObserved(
            "y",
            decay,
            params=rate,
            y0=[1.0],
            times=[1.0, 2.0],
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, sigma),
            observed=data,
            **FAST_SOLVER,
        )
    point = {"rate_log__": np.array(0.0), "sigma_log__": np.log(0.2)}
    expected = norm(np.exp([-1.0, -2.0]), 0.2).logpdf(data)
    assert_allclose(compiled(model)[0](point), expected, atol=1e-6)
    check_gradient(model, point)


#: Functions as a cell makes them, anew each time it runs.
MADE_ANEW = {
    "a field": lambda rate: {"vector_field": lambda t, y, p: -rate * y},
    "a linear system": lambda rate: {
        "vector_field": pmj.LinearODE(lambda p: -rate * jnp.eye(1), lambda p: jnp.zeros(1))
    },
    "what is observed": lambda rate: {
        "vector_field": decay,
        "observe": lambda t, y, p: rate * y,
    },
    "a jump": lambda rate: {
        "vector_field": decay,
        "events": pmj.Jumps([0.5], lambda y, p: rate * y),
    },
}


@pytest.mark.parametrize("kind", MADE_ANEW)
def test_functions_that_are_made_anew_are_not_compiled_anew(kind):
    def op_of(rate):
        ode = pmj.ODEObserved.dist(
            **MADE_ANEW[kind](rate),
            params=1.0,
            y0=[1.0],
            times=[1.0, 2.0],
            likelihood=lambda y: pm.Normal.dist(y[..., 0], 1.0),
        )
        nodes = [v.owner for v in ancestors([pm.logp(ode, np.ones(2))]) if v.owner is not None]
        return next(node.op for node in nodes if isinstance(node.op, LogDensity))

    assert op_of(0.5) == op_of(0.5)
    assert hash(op_of(0.5)) == hash(op_of(0.5))
    assert op_of(0.5) != op_of(0.6)
