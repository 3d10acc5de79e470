"""How much memory the gradient for a million observations takes, in a mode of PyTensor."""

import resource
import sys

import numpy as np
import pymc as pm

import pymc_jaxdist as pmj


def evaluate(observations, mode):
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=4)
        matrix = np.full((4, 4), 0.05) + 0.8 * np.eye(4)
        emission = pm.Normal.dist(mu, 1.0)
        pmj.MarginalHMM("y", emission, matrix, np.ones(4) / 4, observed=observations)
    function = model.logp_dlogp_function(ravel_inputs=True, mode=mode)
    function.set_extra_values({})
    for _ in range(2):
        value, gradient = function(np.arange(4.0))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def most_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


y = np.random.default_rng(0).normal(size=1_000_000)
evaluate(y[:1000], sys.argv[1])
before = most_memory()
evaluate(y, sys.argv[1])
print(most_memory() - before)
