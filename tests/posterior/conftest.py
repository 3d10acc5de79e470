"""A small model of two ragged sites with missing days, and a posterior of ten draws."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pymc_jaxdist as pmj
from tests.posterior.two_sites import LENGTHS, STATES, Y


@pytest.fixture(scope="module")
def model():
    coords = {"site": ["a", "b"], "day": [1, 2, 3, 4], "state": STATES, "to": STATES}
    with pm.Model(coords=coords) as model:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, dims="state")
        matrix = pm.Dirichlet("P", np.ones((2, 2)), dims=("state", "to"))
        pmj.MarginalHMM(
            "y", pm.Normal.dist(mu, 1.0), matrix, observed=Y, lengths=LENGTHS, dims=("site", "day")
        )
        pm.Normal("z", mu, observed=np.zeros(2))
    return model


@pytest.fixture(scope="module")
def idata():
    rng = np.random.default_rng(0)
    mu = np.array([0.0, 3.0]) + rng.normal(scale=0.1, size=(2, 5, 2))
    matrix = rng.dirichlet(np.ones(2), size=(2, 5, 2))
    return {
        "posterior": xr.Dataset(
            {
                "mu": (("chain", "draw", "state"), mu),
                "P": (("chain", "draw", "state", "to"), matrix),
            },
            coords={"chain": [0, 1], "draw": np.arange(5)},
        )
    }
