"""The stages of a step, repeated in a loop where XLA would compute them again and again."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from pymc_jaxdist.distributions import ode_arguments
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5


def lorenz96(t, y, params):
    return (jnp.roll(y, -1) - jnp.roll(y, 2)) * jnp.roll(y, 1) - y + params["forcing"]


def solution(n_states, n_subjects, sensitivity):
    y0 = 4 + np.sin(np.arange(n_subjects * float(n_states))).reshape(n_subjects, -1)
    forcing, times = np.linspace(6.0, 8.0, n_subjects), np.array([0.2, 0.5])
    states = pmj.ode_solution(
        lorenz96,
        params={"forcing": forcing},
        y0=y0,
        times=times,
        solver="tsit5",
        sensitivity=sensitivity,
    )
    return states.eval()


@pytest.mark.parametrize(
    ("n_states", "n_subjects", "sensitivity", "worth_a_loop"),
    [
        (3, 1, "forward", True),
        (3, 2, "reverse", True),
        (3, 2, "forward", False),
        (1, 1, "reverse", False),
    ],
)
def test_the_same_solutions(monkeypatch, n_states, n_subjects, sensitivity, worth_a_loop):
    """Stages in a loop are the same method, to rounding."""
    looped = []
    stages = Tsit5._looped_stages

    def spy(*arguments):
        looped.append(True)
        return stages(*arguments)

    monkeypatch.setattr(Tsit5, "_looped_stages", spy)
    found = {}
    for recomputes in (False, True):
        monkeypatch.setattr(ode_arguments, "barriers_end_before_fusion", lambda x=recomputes: x)
        found[recomputes] = solution(n_states, n_subjects, sensitivity)
        assert bool(looped) == (recomputes and worth_a_loop)
    assert_allclose(found[False], found[True], rtol=1e-12)
