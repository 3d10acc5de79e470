"""What breaks other solvers: traps for gradients, steps and subjects, each a test."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from jax.experimental.ode import odeint
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicHermiteSpline
from scipy.stats import lognorm

import pymc_jaxdist as pmj
from pymc_jaxdist.distributions.model_variable import model_of
from tests.distributions.compiled import FAST
from tests.slow_cases import slow_except

STEP = 1e-6
TIGHT = {"solver": "tsit5", "rtol": 1e-9, "atol": 1e-9}


def solution(field, **arguments):
    return pmj.ode_solution(field, **{**TIGHT, **arguments})


class TestOralDose:
    """A fast absorption, over within the first hours of a day, and a continuous adjoint.

    The adjoint equation grows where the solution decays: solved backwards over 24 hours, an error
    of one in a million becomes millions.
    """

    TIMES = np.array([0.25, 0.5, 1, 2, 4, 6, 8, 12, 24])
    POINT = np.log([3.0, 0.08])
    WEIGHTS = np.linspace(-1.0, 1.0, 9)

    @staticmethod
    def field(t, y, log_rates):
        absorbed, eliminated = jnp.exp(log_rates) * y
        return jnp.stack([-absorbed, absorbed - eliminated])

    def exact_gradient(self):
        def total(z):
            ka, k = np.exp(z[0]), np.exp(z[1])
            blood = 4 * ka / (ka - k) * (np.exp(-k * self.TIMES) - np.exp(-ka * self.TIMES))
            return (self.WEIGHTS * blood).sum()

        shifted = self.POINT + 1e-30j * np.eye(2)
        return np.array([total(z).imag / 1e-30 for z in shifted])

    @pytest.mark.parametrize("sensitivity", ["forward", "reverse"])
    def test_gradient(self, sensitivity):
        z = pt.dvector("z")
        blood = solution(
            self.field,
            params=z,
            y0=[4.0, 0.0],
            times=self.TIMES,
            observe=1,
            rtol=1e-6,
            atol=1e-6,
            sensitivity=sensitivity,
        )
        gradient = pytensor.function([z], pt.grad((self.WEIGHTS * blood).sum(), z), mode=FAST)
        assert_allclose(gradient(self.POINT), self.exact_gradient(), rtol=1e-4)

    def test_is_a_trap(self):
        def total(z):
            states = odeint(
                lambda y, t, z: self.field(t, y, z),
                jnp.array([4.0, 0.0]),
                jnp.array([0.0, *self.TIMES]),
                z,
                rtol=1e-6,
                atol=1e-6,
            )
            return jnp.sum(jnp.asarray(self.WEIGHTS) * states[1:, 1])

        with jax.enable_x64(True):
            theirs = jax.jit(jax.grad(total))(jnp.asarray(self.POINT))
        assert np.abs(theirs - self.exact_gradient()).max() > 1e3


@pytest.mark.parametrize("sensitivity", ["forward", "reverse"])
def test_a_trial_step_into_where_the_field_is_not_a_number(sensitivity):
    """(1 - t/2)^2 reaches 0 at 2; beyond, a trial step meets the root of a negative number."""
    scale = pt.dscalar("scale")
    y = solution(
        lambda t, y, p: -p * jnp.sqrt(y),
        params=scale,
        y0=[1.0],
        times=[0.5, 1.9],
        observe=0,
        sensitivity=sensitivity,
    )
    run = pytensor.function([scale], [y, pt.grad(y.sum(), scale)], mode=FAST)
    value, gradient = run(1.0)
    left = 1 - np.array([0.5, 1.9]) / 2
    assert_allclose(value, left**2, rtol=1e-6)
    assert_allclose(gradient, (2 * left * -np.array([0.25, 0.95])).sum(), rtol=1e-6)


def test_times_in_any_order_repeated_and_at_the_start():
    times = np.array([2.0, 0.0, 1.0, 2.0, 0.0])
    y = solution(lambda t, y, p: -y, params=None, y0=[1.0], times=times, observe=0)
    assert_allclose(y.eval(mode=FAST), np.exp(-times), rtol=1e-7)


@pytest.mark.parametrize("sensitivity", ["forward", "reverse"])
def test_a_subject_observed_only_at_the_start(sensitivity):
    """It takes no step, beside one that does."""
    starts = pt.dmatrix("starts")
    y = solution(
        lambda t, y, p: -y,
        params=None,
        y0=pt.specify_shape(starts, (2, 1)),
        times=np.array([[0.0, 1.0], [0.0, 0.0]]),
        observe=0,
        sensitivity=sensitivity,
    )
    run = pytensor.function([starts], [y, pt.grad(y.sum(), starts)], mode=FAST)
    value, gradient = run([[2.0], [3.0]])
    assert_allclose(value, [[2.0, 2.0 * np.exp(-1)], [3.0, 3.0]], rtol=1e-7)
    assert_allclose(gradient, [[1.0 + np.exp(-1)], [2.0]], rtol=1e-7)


BEFORE = {
    "adaptive": (lambda t, y, p: -y, {}),
    "diffrax": (lambda t, y, p: -y, {"solver": diffrax.Dopri5()}),
    "linear": (pmj.LinearODE(lambda p: -jnp.eye(1)), {}),
}


@pytest.mark.parametrize("kind", slow_except(BEFORE, *(set(BEFORE) - {"diffrax"})))
def test_a_variable_time_before_the_start_is_a_failure(kind):
    begins = pt.dscalar("begins")
    field, options = BEFORE[kind]
    y = solution(field, params=None, y0=[1.0], t0=begins, times=[0.5], observe=0, **options)
    run = pytensor.function([begins], [y, pt.grad(y.sum(), begins)], mode=FAST)
    assert np.isfinite(run(0.5)[0]).all()
    value, gradient = run(0.6)
    assert not np.isfinite(value).any()
    assert gradient == 0.0


@pytest.mark.parametrize("sensitivity", ["auto", "forward"])
def test_gradients_with_respect_to_every_time(sensitivity):
    """The start, the observations, a bolus, an infusion and its duration, in one equation."""
    z = pt.dvector("z")
    y = solution(
        lambda t, y, p: -0.5 * y + jnp.sin(t),
        params=None,
        y0=[1.0],
        t0=z[0],
        times=z[1:3],
        observe=0,
        events=[
            pmj.Doses(z[3:4], 2.0, 0),
            pmj.Doses(z[4:5], 3.0, 0, duration=z[5]),
            pmj.Jumps(z[6:7], lambda y, p: 0.7 * y),
        ],
        sensitivity=sensitivity,
    )
    total = (y * [1.0, -2.0]).sum()
    value = pytensor.function([z], total, mode=FAST)
    gradient = pytensor.function([z], pt.grad(total, z), mode=FAST)
    point = np.array([-0.3, 2.5, 6.0, 1.0, 1.5, 2.2, 4.4])
    step = 1e-5
    expected = [(value(point + s) - value(point - s)) / (2 * step) for s in step * np.eye(7)]
    assert_allclose(gradient(point), expected, rtol=1e-5, atol=1e-6)
    assert (np.abs(expected) > 1e-3).all()


def test_cubic_input_is_the_spline_of_scipy():
    """With the slopes of Catmull and Rom: those between the neighbours of each point."""
    knots = np.array([0.0, 0.7, 1.5, 3.0, 3.5, 5.0])
    heights = np.array([0.0, 1.0, 0.2, 2.0, 1.0, 1.5])
    times = np.array([0.4, 0.7, 2.0, 3.2, 5.0])

    def spline(heights):
        between = (heights[2:] - heights[:-2]) / (knots[2:] - knots[:-2])
        ends = np.diff(heights)[[0, -1]] / np.diff(knots)[[0, -1]]
        return CubicHermiteSpline(knots, heights, [ends[0], *between, ends[1]])

    def integrals(heights):
        return np.array([spline(heights).integrate(0.0, t) for t in times])

    fine = np.linspace(0, 5, 101)
    mine = jax.vmap(pmj.interpolated(knots, heights, "cubic"))(fine)
    assert_allclose(mine, spline(heights)(fine), atol=1e-6)  # single precision outside an Op
    values = pt.dvector("values")
    y = solution(
        lambda t, y, p: jnp.stack([p(t)]),
        params=pmj.interpolated(knots, values, "cubic"),
        y0=[0.0],
        times=times,
        observe=0,
        # The size of steps follows the error of the solution where they end: not of its gradient,
        # nor between steps across points of the spline.
        rtol=1e-11,
        atol=1e-12,
    )
    run = pytensor.function([values], [y, pt.grad(y.sum(), values)], mode=FAST)
    value, gradient = run(heights)
    assert_allclose(value, integrals(heights), rtol=1e-8)
    # linear in the heights: the gradient is the integral of what each point contributes
    assert_allclose(gradient, [integrals(e).sum() for e in np.eye(6)], atol=1e-8)


@pytest.mark.slow
def test_a_minibatch_of_subjects():
    """Twelve subjects, of whom four at a time are solved; ADVI runs on them."""
    rng = np.random.default_rng(0)
    doses, times = rng.uniform(1, 3, size=12), np.array([0.5, 1.0, 2.0])
    data = doses[:, None] * np.exp(-0.8 * times) + 0.05 * rng.normal(size=(12, 3))

    def build(doses, data, **batch):
        with pm.Model() as model:
            rate = pm.LogNormal("rate", 0, 1)
            pmj.ODEObserved(
                "y",
                lambda t, y, rate: -rate * y,
                params=rate,
                y0=doses[:, None],
                times=times,
                observe=0,
                likelihood=lambda y: pm.Normal.dist(y, 0.1),
                observed=data,
                solver="tsit5",
                **batch,
            )
        return model

    alike = build(np.tile(doses[:1], 12), np.tile(data[:1], (12, 1)))
    batches = pm.Minibatch(np.tile(doses[:1], 12), np.tile(data[:1], (12, 1)), batch_size=4)
    of_batches = build(*batches, total_size=12)
    assert_allclose(of_batches.point_logps()["y"], alike.point_logps()["y"], rtol=1e-3)

    model = build(*pm.Minibatch(doses, data, batch_size=4), total_size=12)
    with model:
        fit = pm.fit(
            600,
            method="advi",
            obj_optimizer=pm.adam(learning_rate=0.05),
            random_seed=1,
            progressbar=False,
        )
    assert np.isfinite(fit.hist).all()
    assert_allclose(np.exp(fit.mean.eval()), 0.8, atol=0.1)


def scaled(y, sigma):
    return pm.Normal.dist(y, sigma * y)


LIKELIHOODS = {
    "a normal": (pm.Normal.dist, False),
    "a Student t": (lambda y, sigma: pm.StudentT.dist(nu=4, mu=y, sigma=sigma), False),
    "a multivariate normal": (lambda y, sigma: pm.MvNormal.dist(y, np.eye(1)), False),
    "a lognormal": (lambda y, sigma: pm.LogNormal.dist(pt.log(y), sigma), True),
    "a Poisson": (lambda y, sigma: pm.Poisson.dist(y), True),
    "a normal with an error in proportion": (scaled, True),
    "several, one a Poisson": (
        lambda y, sigma: (pm.Normal.dist(y[..., 0], sigma), pm.Poisson.dist(y[..., 0])),
        True,
    ),
}
#: What is observed of three states, its logarithm, and the states whose logarithm that is.
SEEN = {
    "by position": (None, lambda y: pt.log(y["fly"]), {2}),
    "one": ("larva", pt.log, {1}),
    "several": (["fly", "egg"], pt.log, {0, 2}),
    "one of several": (["fly", "egg"], lambda y: pt.log(y[..., 0]) + y[..., 1], {2}),
    "a function": (lambda t, y, p: y["fly"] / p, pt.log, set()),
}


class TestExtinction:
    """Hares that almost die out: the logarithm of 1e-20 is a number like any other."""

    RATES, START, TIMES = np.array([1.0, 4.0, 0.4, 4.0]), np.array([3.7, 0.7]), np.arange(1.0, 21)

    @staticmethod
    def field(t, y, p):
        return jnp.stack([y[0] * (p[0] - p[1] * y[1]), y[1] * (p[3] * y[0] - p[2])])

    def logarithms(self):
        """Return the logarithms of the solution, which have an equation of their own."""
        a, b, c, d = self.RATES
        found = solve_ivp(
            lambda t, u: [a - b * np.exp(u[1]), d * np.exp(u[0]) - c],
            (0.0, self.TIMES[-1]),
            np.log(self.START),
            t_eval=self.TIMES,
            method="DOP853",
            rtol=1e-12,
            atol=1e-12,
        )
        return found.y.T

    @pytest.mark.parametrize("solver", ["tsit5", "rodas5p"])
    def test_log_density_is_that_of_the_equation_of_the_logarithms(self, solver):
        logs, observed = self.logarithms(), np.full((20, 2), 30.0)
        assert logs.min() < np.log(1e-12)
        with pm.Model() as model:
            y = pmj.ODEObserved(
                "y",
                self.field,
                params=self.RATES,
                y0=self.START,
                times=self.TIMES,
                likelihood=lambda y: pm.LogNormal.dist(pt.log(y), 0.5),
                observed=observed,
                solver=solver,
            )
        found = model.compile_logp(vars=[y], sum=False)({})[0]
        assert_allclose(found, lognorm.logpdf(observed, 0.5, scale=np.exp(logs)), rtol=1e-3)

    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    def test_small_states_are_accurate_wherever_their_logarithm_is_taken(self, likelihood):
        function, expected = LIKELIHOODS[likelihood]
        with pm.Model():
            sigma = pm.HalfNormal("sigma")
            y = pmj.ODEObserved(
                "y",
                lambda t, y, p: -p * y,
                params=1.0,
                y0=[1.0],
                times=[1.0, 2.0],
                likelihood=lambda y: function(y, sigma),
                observed=np.ones((2, 2 if "several" in likelihood else 1)),
            )
        assert model_of(y).equation.atol == ((1e-100,) if expected else 1e-12)

    @pytest.mark.parametrize("seen", SEEN)
    def test_others_may_be_less_accurate_than_those_whose_logarithm_is_taken(self, seen):
        observe, logarithm, exact = SEEN[seen]
        with pm.Model():
            y = pmj.ODEObserved(
                "y",
                lambda t, y, p: {name: -p * y[name] for name in y},
                params=1.0,
                y0={"egg": 1.0, "larva": 0.0, "fly": 0.0},
                times=[1.0, 2.0],
                observe=observe,
                likelihood=lambda y: pm.LogNormal.dist(logarithm(y), 1.0),
                observed=np.ones((2, 2) if seen == "several" else 2),
            )
        expected = tuple(1e-100 if state in exact else 1e-30 for state in range(3))
        assert model_of(y).equation.atol == expected

    @pytest.mark.parametrize("solver", ["tsit5", "rodas5p"])
    def test_a_velocity_at_rest_need_not_be_accurate_relative_to_itself(self, solver):
        """Of a damped spring: in the end it is what rounding leaves of the forces' sum."""
        times = np.array([0.5, 50.0, 300.0])

        def spring(t, y, p):
            return jnp.stack([y[1], 9.81 - p[0] * y[0] - 2 * y[1]])

        with pm.Model() as model:
            stiffness = pm.HalfNormal("stiffness", shape=1)
            y = pmj.ODEObserved(
                "y",
                spring,
                params=stiffness,
                y0=[1.0, 0.0],
                times=times,
                observe=0,
                likelihood=lambda position: pm.LogNormal.dist(pt.log(position), 0.1),
                observed=np.ones(3),
                solver=solver,
            )
        assert model_of(y).equation.atol == (1e-100, 1e-12)
        root = np.sqrt(3.0)
        swing = np.exp(-times) * (np.cos(root * times) + np.sin(root * times) / root)
        exact = 9.81 / 4 + (1 - 9.81 / 4) * swing
        found = model.compile_logp(vars=[y])({"stiffness_log__": np.log([4.0])})
        assert_allclose(found, lognorm.logpdf(1.0, 0.1, scale=exact).sum(), rtol=1e-5)
