"""A large equation in reverse is compiled in two pieces, with the same value and gradient."""

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from pymc_jaxdist.ops import packed_call

N_STATES = 20
TIMES = np.linspace(0.1, 0.5, 4)


def value_and_gradient(marker):
    """Return the function of a model, which nobody has compiled for another marker."""

    def lorenz96(t, y, forcing):
        _ = marker
        return (jnp.roll(y, -1) - jnp.roll(y, 2)) * jnp.roll(y, 1) - y + forcing

    forcing, y0 = pt.dscalar("forcing"), pt.dvector("y0")
    with pm.Model() as model:
        pmj.ODEObserved(
            "y",
            lorenz96,
            params=forcing,
            y0=pt.specify_shape(y0, N_STATES),
            times=TIMES,
            likelihood=lambda y: pm.Normal.dist(y, 1.0),
            observed=np.zeros((len(TIMES), N_STATES)),
        )
    logp = model.logp()
    return pytensor.function([forcing, y0], [logp, *pt.grad(logp, [forcing, y0])], mode="FAST_RUN")


@pytest.fixture
def cuts(monkeypatch):
    """Count the programs that were cut."""
    found = []
    original = packed_call.in_two_pieces

    def counting(program):
        pieces = original(program)
        found.append(pieces is not None)
        return pieces

    monkeypatch.setattr(packed_call, "reductions_are_costly", lambda: True)
    monkeypatch.setattr(packed_call, "in_two_pieces", counting)
    return found


def test_the_same_value_and_gradient(monkeypatch, cuts):
    in_pieces = value_and_gradient("in pieces")
    y0 = 4 + np.sin(np.arange(float(N_STATES)))
    found = {x: in_pieces(x, y0) for x in (4.0, 8.0, np.nan, 4.0)}
    assert cuts == [False, True]  # what foresees is small
    monkeypatch.setattr(packed_call, "in_two_pieces", lambda program: None)
    whole = value_and_gradient("whole")
    for forcing, mine in found.items():
        for x, right in zip(mine, whole(forcing, y0), strict=True):
            assert_allclose(x, right, rtol=1e-12, atol=1e-12)
