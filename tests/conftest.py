"""Settings of the whole test session.

Nothing here imports JAX, PyTensor or PyMC: the number of host devices can only be chosen before
JAX is first used, and tests that need several of them must find JAX untouched.
"""

import functools
import gc
import os
import signal
import sys
import time

import matplotlib
import pytest
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")

# A first call compiles, which takes longer than any sensible deadline per example.
COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=25, **COMMON)
settings.register_profile("ci", max_examples=25, derandomize=True, print_blob=True, **COMMON)
settings.register_profile("thorough", max_examples=200, print_blob=True, **COMMON)
# Which lines run does not depend on how many examples there are.
settings.register_profile("coverage", max_examples=4, derandomize=True, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


FASTER_TESTS = {
    # PyTensor compiles hundreds of small functions in C, twice as fast if they are not optimised.
    "gcc__cxxflags": "-O0 -g0",
    # Where each of a million variables was made.
    "traceback__limit": "0",
}
flags = os.environ.get("PYTENSOR_FLAGS", "")
added = [f"{name}={value}" for name, value in FASTER_TESTS.items() if name not in flags]
os.environ["PYTENSOR_FLAGS"] = ",".join(filter(None, [flags, *added]))


def pytest_collection_finish(session):
    """Spare two things that would take a tenth of the time each."""
    # Garbage is looked for more rarely, and not among what was imported, a million objects.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    # A sum asks the file system where its C code is each time that PyTensor makes one.
    of_c_code = sys.modules.get("pytensor.link.c.op")
    if of_c_code is not None:
        find = of_c_code.ExternalCOp.get_path.__func__
        of_c_code.ExternalCOp.get_path = classmethod(functools.cache(find))


@pytest.fixture(autouse=True, scope="module")
def release_compiled_functions():
    """Drop what JAX compiled for a file of tests.

    Every compiled function maps memory several times over, and a session that keeps thousands of
    them reaches the number of mappings Linux allows a process, where it crashes.
    """
    yield
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def wait_for_interrupt():
    """Wait until an interrupt raises `KeyboardInterrupt`, also where tests run side by side.

    Their workers ignore interrupts, which the process that started them is to receive.
    """

    def wait(seconds):
        # One long sleep would not end when the interrupt comes.
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield wait
    signal.signal(signal.SIGINT, before)
