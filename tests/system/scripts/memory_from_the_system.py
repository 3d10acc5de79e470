"""How many pages of memory an evaluation gets from the system, in a mode of PyTensor."""

import resource
import sys

import numpy as np
import pymc as pm

import pymc_jaxdist as pmj

y = np.random.default_rng(0).normal(size=(200, 200))
with pm.Model() as model:
    mu = pm.Normal("mu", shape=10)
    emission = pm.Normal.dist(mu, 1.0)
    pmj.MarginalHMM("y", emission, np.full((10, 10), 0.1), np.full(10, 0.1), observed=y)
function = model.logp_dlogp_function(ravel_inputs=True, mode=sys.argv[1])
function.set_extra_values({})
function(np.arange(10.0))


def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


before = pages()
for _ in range(20):
    function(np.arange(10.0))
print((pages() - before) / 20)
