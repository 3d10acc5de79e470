"""What goes wrong while sampling: killed workers, interrupts, solvers that fail."""

import sys

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pymc_jaxdist as pmj
from tests.distributions.compiled import interpreted
from tests.system.run_script import run_script
from tests.system.small_model import smallest_model

QUIET = {
    "nuts_sampler": "pymc",
    "cores": 1,
    "random_seed": 1,
    "progressbar": False,
    "compute_convergence_checks": False,
}
HANGS_AFTER = 120


def after_a_killed_worker():
    """Return what a script printed in which one of two workers was killed: a dict of lines."""
    done = run_script("kill_a_worker.py", timeout=HANGS_AFTER)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_worker_ends_sampling_with_an_error():
    """PyMC raises it; what matters is that nothing waits for the worker, and nothing is left."""
    told = after_a_killed_worker()
    assert "Error" in told["raised"]
    assert float(told["after"].removesuffix(" s")) < 20
    assert told["workers"] == "[]"
    assert told["zombies"] == "[]"


def draws_after_an_interrupt():
    def interrupt(trace, draw):
        if not draw.tuning and draw.draw_idx >= 40:
            raise KeyboardInterrupt

    with interpreted(), smallest_model():
        return pm.sample(100_000, tune=10, chains=1, callback=interrupt, **QUIET)


def test_an_interrupt_returns_what_was_drawn():
    draws = draws_after_an_interrupt()["posterior"]["mu"].values
    assert 30 <= draws.shape[1] <= 41
    assert np.isfinite(draws).all()


@pytest.mark.slow
def test_an_interrupt_of_parallel_chains_returns_what_was_drawn():
    done = run_script("interrupt_sampling.py", 2, timeout=HANGS_AFTER)
    assert done.returncode == 0, done.stderr
    _, n_draws, finite = done.stdout.split()
    assert 1 <= int(n_draws) < 100_000  # those that every chain has
    assert finite == "True"


def failing_model():
    """A solution that reaches infinity before its last observation for 30 % of the prior."""
    last = 1 / stats.lognorm(1.0).ppf(0.7)  # y' = r y**2 from 1 is infinite at 1 / r
    times = np.array([0.5, 1.0]) * last
    with pm.Model() as model:
        rate = pm.LogNormal("rate", 0.0, 1.0)
        pmj.ODEObserved(
            "y",
            lambda t, y, p: p * y**2,
            params=rate,
            y0=[1.0],
            times=times,
            observe=0,
            likelihood=lambda y: pm.Normal.dist(y, 20.0),
            observed=1 / (1 - 1.5 * times),
            solver="tsit5",
            max_steps=300,
        )
    return model


def sample_where_the_solver_fails():
    """Return the share of the prior that fails, evaluations that failed, and draws."""
    model = failing_model()
    share = pmj.check_ode(model, draws=200, random_seed=1).failed
    pmj.impossible_evaluations(reset=True)
    with interpreted(), model:
        idata = pm.sample(200, tune=200, chains=1, **QUIET)
    return share, pmj.impossible_evaluations(), idata["posterior"]["rate"].values


@pytest.mark.slow
def test_sampling_finishes_where_the_solver_fails_and_failures_are_counted():
    share, failures, draws = sample_where_the_solver_fails()
    assert share == pytest.approx(0.3, abs=0.1)
    assert failures["ODE log-likelihood"] > 0
    assert draws.size == 200
    assert np.isfinite(draws).all()
    assert (draws < stats.lognorm(1.0).ppf(0.7)).all()  # none where there is no solution
    assert len(np.unique(draws)) > 20
