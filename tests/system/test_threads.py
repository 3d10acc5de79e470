"""Threads that share a compiled kernel compute what one thread computes, to the last bit."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from pymc.blocking import DictToArrayBijection, RaveledVars
from pytensor.compile.mode import Mode
from pytensor.graph.traversal import ancestors

from pymc_jaxdist.ops import LogDensity
from tests.system.small_model import small_model

N_THREADS, N_CALLS = 8, 200


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def function(model):
    # Optimised, because PyTensor shares what an OpFromGraph compiled between copies of a function.
    mode = Mode(linker="py", optimizer="fast_run")
    compiled = model.logp_dlogp_function(ravel_inputs=True, mode=mode)
    compiled.set_extra_values({})
    return compiled._pytensor_function


@pytest.fixture(scope="module")
def points(model):
    start = DictToArrayBijection.map(model.initial_point()).data
    return start + 0.3 * np.random.default_rng(5).normal(size=(N_CALLS, start.size))


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
