"""A long session stays as small as a short one."""

import ctypes
import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from pymc.blocking import DictToArrayBijection

from pymc_jaxdist.ops import LogDensity, kernel_calls
from pymc_jaxdist.ops.packed_call import packed_call
from tests.system.run_script import run_script
from tests.system.small_model import small_model

MEGABYTE = 2**20


def compiled_function(model, mode=None):
    compiled = model.logp_dlogp_function(ravel_inputs=True, mode=mode)
    compiled.set_extra_values({})
    function = compiled._pytensor_function
    return function, DictToArrayBijection.map(model.initial_point()).data


def cache_sizes():
    caches = {name: getattr(kernel_calls, name) for name in kernel_calls.__all__}
    caches["packed_call"] = packed_call
    return {
        name: cache.cache_info().currsize
        for name, cache in caches.items()
        if hasattr(cache, "cache_info")
    }


@pytest.mark.slow
def test_a_model_that_is_rebuilt_again_and_again_is_compiled_once():
    def rebuild():
        function, start = compiled_function(small_model(), mode="FAST_COMPILE")
        value, _ = function(start)
        nodes = function.maker.fgraph.toposort()
        (op,) = (node.op for node in nodes if isinstance(node.op, LogDensity))
        return float(value), op.compiled

    first_value, first_compiled = rebuild()
    sizes = cache_sizes()
    assert sizes["value_gradients_and_count"] >= 1
    assert sizes["packed_call"] >= 1
    for _ in range(19):
        value, compiled = rebuild()
        assert value == first_value
        assert compiled is first_compiled
    assert cache_sizes() == sizes


def resident_memory():
    """Return what the process holds, without free memory in which growth could hide."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux and glibc")
def test_evaluations_leave_nothing_behind():
    function, start = compiled_function(small_model())
    points = start + 0.1 * np.random.default_rng(1).normal(size=(1000, start.size))
    for point in points:
        function(point)
    before = resident_memory()
    for _ in range(20):
        for point in points:
            function(point)
    grown = resident_memory() - before
    print(f"grown by {grown / MEGABYTE:.1f} MB")
    assert grown < 20 * MEGABYTE


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA", "JAX"])
def test_a_million_observations_fit_into_half_a_gigabyte(mode):
    """Value and gradient with four states, and all that building and compiling the model takes."""
    done = run_script("a_million_observations.py", mode, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 500e6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA"])
def test_an_evaluation_uses_the_memory_of_the_one_before(mode):
    """Its arrays have 1,600 pages, which would take longer to get than what is in them."""
    done = run_script("memory_from_the_system.py", mode, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100
