"""Threads that share a compiled kernel compute what one thread computes, to the last bit."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pymc as pm
import pytest
from pymc.blocking import DictToArrayBijection, RaveledVars
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode
from pytensor.graph.traversal import ancestors

from pymc_jaxdist import MarginalHMM
from pymc_jaxdist.ops import LogDensity
from tests.system.small_model import simulated

N_THREADS, N_CALLS = 8, 1000


def build_model():
    """A model without simplexes: copies of a function share what PyTensor compiled for those."""
    with pm.Model() as model:
        mu = pm.Normal("mu", [0.0, 3.0], 2.0, shape=2)
        sigma = pm.HalfNormal("sigma", 2.0)
        MarginalHMM("y", pm.Normal.dist(mu, sigma), [[0.9, 0.1], [0.2, 0.8]], observed=simulated())
    return model


def build_function(model):
    """Compile value and gradient."""
    compiled = model.logp_dlogp_function(
        ravel_inputs=True, mode=Mode(linker="py", optimizer="fast_run")
    )
    compiled.set_extra_values({})
    function = compiled._pytensor_function
    assert not any(isinstance(n.op, OpFromGraph) for n in function.maker.fgraph.apply_nodes)
    return function


def build_points(model):
    """Draw points around the initial one."""
    start = DictToArrayBijection.map(model.initial_point()).data
    return start + 0.3 * np.random.default_rng(5).normal(size=(N_CALLS, start.size))


@pytest.fixture(scope="module")
def model():
    return build_model()


@pytest.fixture(scope="module")
def function(model):
    return build_function(model)


@pytest.fixture(scope="module")
def points(model):
    return build_points(model)


def in_threads(evaluators, points):
    """Let each thread evaluate all points, from another one onwards; results in their order."""
    barrier = Barrier(N_THREADS)

    def work(thread):
        evaluate = evaluators[thread]
        order = np.roll(np.arange(len(points)), 17 * thread)
        results = {}
        barrier.wait()
        for i in order:
            value, *gradients = evaluate(points[i])
            results[i] = np.concatenate([np.ravel(value), *map(np.ravel, gradients)])
        return np.array([results[i] for i in range(len(points))])

    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(work, range(N_THREADS)))


def same_bits(first, second):
    return first.tobytes() == second.tobytes()


@pytest.mark.slow
def test_a_copy_of_the_function_for_each_thread(function, points):
    serial = np.array([np.concatenate([np.ravel(x) for x in function(p)]) for p in points])
    assert np.isfinite(serial).all()
    copies = [function.copy(share_memory=False) for _ in range(N_THREADS)]
    for result in in_threads(copies, points):
        assert same_bits(result, serial)


def test_one_op_in_all_threads(model, points):
    """Nothing but a node is shared: each thread brings inputs and outputs of its own."""
    total = model.logp()
    nodes = {v.owner for v in ancestors([total]) if v.owner and isinstance(v.owner.op, LogDensity)}
    (node,) = nodes
    inputs_at = model.compile_fn(node.inputs, mode="FAST_COMPILE")
    template = DictToArrayBijection.map(model.initial_point())
    inputs = [
        inputs_at(DictToArrayBijection.rmap(RaveledVars(point, template.point_map_info)))
        for point in points
    ]

    def evaluate(index):
        storage = [[None] for _ in node.outputs]
        node.op.perform(node, inputs[index], storage)
        return [output for (output,) in storage]

    indices = range(len(points))
    serial = np.array([np.concatenate([np.ravel(x) for x in evaluate(i)]) for i in indices])
    assert np.isfinite(serial).all()
    for result in in_threads([evaluate] * N_THREADS, indices):
        assert same_bits(result, serial)
