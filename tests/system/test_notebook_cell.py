"""A cell that builds a model, run again and again, compiles nothing new and leaves no trace."""

import gc

import pytest
from pymc.blocking import DictToArrayBijection
from pytensor.graph.op import Op

from pymc_jaxdist.ops import LogDensity
from tests.distributions.compiled import interpreted
from tests.system.test_memory import MEGABYTE, cache_sizes, resident_memory

#: As a user writes it: every function is made again when the cell runs.
CELL = """
import jax, jax.numpy as jnp, numpy as np, pymc as pm
import pymc_jaxdist as pmj

def decay(t, y, p):
    return -p * y

def net(weights, x):
    return jnp.tanh(x @ weights["hidden"]) @ weights["head"]

def density(y, mu):
    return jax.scipy.stats.norm.logpdf(y, mu, SCALE)

SCALE = 2.0
with pm.Model() as model:
    mu = pm.Normal("mu", [0.0, 3.0], 1.0)
    pmj.MarginalHMM(
        "hmm", pm.Normal.dist(mu, 1.0), [[0.9, 0.1], [0.2, 0.8]], observed=np.arange(6.0)
    )
    pmj.ODEObserved(
        "ode",
        decay,
        params=mu[1],
        y0=[1.0],
        times=[0.5, 1.0],
        likelihood=lambda y: pm.Normal.dist(y[..., 0], 0.1),
        observed=[0.6, 0.4],
        solver="tsit5",
    )
    weights = pmj.nn_priors(
        "net", net, np.ones((4, 1)), start={"hidden": np.ones((1, 2)), "head": np.ones(2)}
    )
    pmj.NeuralNetObserved(
        "nn",
        net,
        weights,
        np.ones((4, 1)),
        likelihood=lambda out: pm.Normal.dist(out, 1.0),
        observed=np.zeros(4),
    )
    pmj.JaxDist("own", density, mu[0], observed=np.ones(3))
"""


def run_cell(namespace):
    """Run the cell; return the value of the model and the compiled kernels behind it."""
    exec(compile(CELL, "cell", "exec"), namespace)
    model = namespace["model"]
    with interpreted():
        compiled = model.logp_dlogp_function(ravel_inputs=True)
    compiled.set_extra_values({})
    function = compiled._pytensor_function
    value, _ = function(DictToArrayBijection.map(model.initial_point()).data)
    nodes = function.maker.fgraph.toposort()
    kernels = [node.op.compiled for node in nodes if isinstance(node.op, LogDensity)]
    return float(value), kernels


def repeat_the_cell(times):
    """Run the cell again and again.

    Returns
    -------
    traces : int
        How many functions were compiled or traced after the second run.
    grown : float
        Megabytes by which the process has grown since a fifth of the runs.
    """
    namespace = {"__name__": "__main__"}
    first, _ = run_cell(namespace)
    value, kernels = run_cell(namespace)
    assert value == first
    assert len(kernels) == 4
    before, sizes = sum(kernel._cache_size() for kernel in kernels), cache_sizes()
    for _ in range(times // 5):
        run_cell(namespace)
    gc.collect()
    memory = resident_memory()
    for _ in range(times - times // 5 - 2):
        again, kernels = run_cell(namespace)
        assert again == first
    after = sum(kernel._cache_size() for kernel in kernels)
    new_entries = sum(cache_sizes()[name] - sizes[name] for name in sizes)
    gc.collect()
    return after - before + new_entries, (resident_memory() - memory) / MEGABYTE


def test_a_cell_makes_no_classes():
    """PyMC and PyTensor keep every class of Ops for ever, with what its methods refer to."""
    namespace = {"__name__": "__main__"}
    run_cell(namespace)
    before = all_subclasses(Op)
    run_cell(namespace)
    assert all_subclasses(Op) == before


def all_subclasses(cls):
    return {cls}.union(*map(all_subclasses, cls.__subclasses__()))


@pytest.mark.slow
def test_a_cell_that_runs_again_and_again_leaves_nothing_behind():
    """A dozen times; `make scoreboard` does it fifty times."""
    traces, grown = repeat_the_cell(12)
    print(f"traces {traces}, grown by {grown:.1f} MB")
    assert traces == 0
    assert grown < 20
