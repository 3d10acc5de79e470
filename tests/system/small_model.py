"""One small model for all tests of this folder: what is compiled for it is found again on disk.

Importing this file starts neither JAX nor a compilation.
"""

import numpy as np
import pymc as pm
from pymc.distributions.transforms import ordered

from pymc_jaxdist import MarginalHMM

__all__ = ["simulated", "small_model", "smallest_model"]


def simulated(n_sequences=5, n_times=30):
    """Two-state sequences with means 0 and 3, drawn with NumPy."""
    rng = np.random.default_rng(11)
    states = np.empty((n_sequences, n_times), dtype=int)
    for sequence in states:
        sequence[0] = rng.random() < 0.5
        for t in range(1, n_times):
            stays = rng.random() < 0.85
            sequence[t] = sequence[t - 1] if stays else 1 - sequence[t - 1]
    return rng.normal(3.0 * states, 1.0)


def small_model(n_sequences=5, n_times=30):
    """Return a model of two states with Normal emissions."""
    with pm.Model() as model:
        mu = pm.Normal("mu", [0.0, 3.0], 2.0, transform=ordered)
        sigma = pm.HalfNormal("sigma", 2.0)
        transitions = pm.Dirichlet("transitions", np.ones((2, 2)) + 2 * np.eye(2))
        MarginalHMM(
            "y", pm.Normal.dist(mu, sigma), transitions, observed=simulated(n_sequences, n_times)
        )
    return model


def smallest_model():
    """Return a model that compiles in no time: only the means are unknown."""
    with pm.Model() as model:
        mu = pm.Normal("mu", [0.0, 3.0], 2.0)
        MarginalHMM("y", pm.Normal.dist(mu, 1.0), [[0.9, 0.1], [0.2, 0.8]], observed=simulated())
    return model
