"""Kernels whose calls can be counted, and the modes in which every Op must run."""

import pytest
from pytensor.compile.mode import Mode, get_mode

from tests.ops.counting_kernel import CountingNormal, counts

MODES = {
    "C": lambda: Mode(linker="cvm", optimizer="fast_run"),
    "Numba": lambda: get_mode("NUMBA"),
    "JAX": lambda: get_mode("JAX"),
}


@pytest.fixture(params=MODES)
def mode(request):
    return MODES[request.param]()


@pytest.fixture
def kernel(request):
    """A kernel with counters of its own for each test."""
    counts.clear()
    return CountingNormal(request.node.nodeid)
