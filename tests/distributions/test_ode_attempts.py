"""Called from PyTensor, the explicit method is tried first and by itself; nothing else changes."""

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from pytensor.compile.mode import Mode, get_mode

import pymc_jaxdist as pmj
from pymc_jaxdist.ops.packed_call import PackedCall

TIMES = np.linspace(0.5, 3.0, 6)
# Relaxation towards a cosine, fast (stiff), slow, or away from it until it is infinite.
STIFF, SLOW, EXPLODES = 1e5, 1.0, -1e3
MIXTURES = {
    "slow": [SLOW, 2 * SLOW, 3 * SLOW],
    "stiff": [STIFF, 2 * STIFF, 3 * STIFF],
    "slow, stiff, explodes": [SLOW, STIFF, EXPLODES],
    "slow, explodes": [SLOW, EXPLODES, 2 * SLOW],
}


def relaxation(t, y, p):
    return jnp.stack([p["rate"] * (jnp.cos(t) * p["shift"] - y[0]), y[0] - p["decay"] * y[1]])


def model_of(sensitivity):
    """Return inputs and outputs: log-densities of three subjects and gradients of their sum."""
    rate, rest, y0 = pt.dvector("rate"), pt.dvector("rest"), pt.dvector("y0")
    start = np.ones((3, 1)) * pt.specify_shape(y0, (2,))
    observed = pmj.ODEObserved.dist(
        relaxation,
        params={"rate": pt.specify_shape(rate, (3,)), "shift": rest[0], "decay": rest[1]},
        y0=start,
        times=TIMES,
        likelihood=lambda y: pm.Normal.dist(y, rest[2]),
        sensitivity=sensitivity,
    )
    data = np.random.default_rng(1).normal(size=(3, len(TIMES), 2))
    logp = pm.logp(observed, data)
    inputs = [rate, rest, y0]
    return inputs, [logp, *pt.grad(logp.sum(), inputs)]


@pytest.mark.slow
@pytest.mark.parametrize("sensitivity", ["forward", "reverse"])
@pytest.mark.parametrize("mode", ["C", "Numba"])
def test_as_in_one_program(sensitivity, mode, monkeypatch):
    inputs, outputs = model_of(sensitivity)
    modes = {"C": Mode(linker="cvm", optimizer="fast_run"), "Numba": get_mode("NUMBA")}
    # JAX mode has the whole of it in one program.
    whole = pytensor.function(inputs, outputs, mode="JAX")
    in_attempts = pytensor.function(inputs, outputs, mode=modes[mode])
    programs = []
    original = PackedCall.__init__

    def counting(self, *arguments, **options):
        programs.append(self)
        original(self, *arguments, **options)

    monkeypatch.setattr(PackedCall, "__init__", counting)
    for name, rates in MIXTURES.items():
        point = (np.array(rates), np.array([1.1, 0.4, 0.7]), np.array([0.9, 0.2]))
        expected = [np.asarray(x) for x in whole(*point)]
        found = in_attempts(*point)
        possible = np.isfinite(expected[0]).all(axis=(1, 2))
        assert possible.tolist() == [rate > 0 for rate in rates]
        for mine, right in zip(found, expected, strict=True):
            assert_allclose(mine, right, rtol=1e-12, atol=1e-12)
        if name == "slow":
            assert len(programs) <= 2  # the other is whether the first attempt is vain


@pytest.mark.slow
def test_channels_with_distributions_of_their_own():
    rate = pt.dscalar("rate")

    def outputs(solver):
        observed = pmj.ODEObserved.dist(
            relaxation,
            params={"rate": rate, "shift": 1.1, "decay": 0.4},
            y0=np.ones(2),
            times=TIMES,
            likelihood=lambda y: (pm.Normal.dist(y[..., 0], 1), pm.StudentT.dist(4, mu=y[..., 1])),
            solver=solver,
        )
        logp = pm.logp(observed, np.random.default_rng(2).normal(size=(len(TIMES), 2)))
        return [logp, pt.grad(logp.sum(), rate)]

    compiled = Mode(linker="cvm", optimizer="fast_run")
    auto, stiff, explicit = (
        pytensor.function([rate], outputs(solver), mode=compiled)
        for solver in ("auto", "stiff", "tsit5")
    )
    for x, right in ((STIFF, stiff), (SLOW, explicit), (STIFF, stiff)):
        for mine, expected in zip(auto(x), right(x), strict=True):
            assert_allclose(mine, expected, rtol=1e-12)


@pytest.mark.slow
def test_the_trajectory_too():
    rate = pt.dvector("rate")
    states = pmj.ode_solution(
        relaxation,
        params={"rate": pt.specify_shape(rate, (3,)), "shift": 1.1, "decay": 0.4},
        y0=np.ones((3, 2)),
        times=TIMES,
    )
    outputs = [states, pt.grad(states[:, -1].sum(), rate)]
    whole = pytensor.function([rate], outputs, mode="JAX")
    in_attempts = pytensor.function([rate], outputs, mode=Mode(linker="cvm", optimizer="fast_run"))
    for rates in (MIXTURES["slow"], MIXTURES["stiff"], [SLOW, STIFF, SLOW]):
        for mine, right in zip(in_attempts(rates), whole(rates), strict=True):
            assert_allclose(mine, right, rtol=1e-12, atol=1e-12)
