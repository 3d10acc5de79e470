"""The settings that are made before JAX starts, in processes of their own."""

import os
import subprocess
import sys

import jax
import pytest

SCRIPT = """
import os
{before}
import resource
import pymc_jaxdist
from pymc_jaxdist.ops.backend import keep_memory
def pages_of_calls():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        [b"x" * size for size in (2_400_000, 2_400_000, 2_400_000, 40_000_000)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin
pages = pages_of_calls()
keep_memory()
import jax
print(len(jax.devices()), pages, pages_of_calls(), os.environ.get("XLA_FLAGS"), sep=";")
"""

# What is observed has a logarithm, for which the equation is tried out when the model is built.
ODE = """
import jax, jax.numpy as jnp, pymc as pm, pytensor.tensor as pt
import pymc_jaxdist as pmj
{before}
with pm.Model() as model:
    rate = pm.LogNormal("rate")
    pmj.ODEObserved("y", lambda t, y, k: -k * y, params=rate, y0=[1.0], times=[1.0, 2.0],
        likelihood=lambda y: pm.LogNormal.dist(pt.log(y), 1), observed=[[1.0], [0.5]])
print(len(jax.devices()))
"""


def started(flags="", before="", **environment):
    """Return the number of devices, pages of memory asked for before and after, and XLA's flags."""
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", **environment}
    command = [sys.executable, "-c", SCRIPT.format(before=before)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    devices, before, after, flags = done.stdout.strip().split(";")
    return int(devices), (int(before), int(after)), flags


@pytest.mark.slow
def test_several_devices_and_loops_in_one_piece():
    devices, _, flags = started()
    assert devices >= 4
    by_itself = jax.__version_info__ >= (0, 12)
    assert ("xla_cpu_small_while_loop_byte_threshold=1048576" in flags) != by_itself


@pytest.mark.parametrize("before", ["", "jnp.arange(3) + 1"])
def test_whatever_is_evaluated_first_after_the_import(before):
    """A function of the user's, or what a model tries out while it is built."""
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ODE.format(before=before)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 4


@pytest.mark.slow
def test_what_is_set_already_stays():
    given = (
        "--xla_force_host_platform_device_count=2 "
        "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=7"
    )
    assert started(given)[::2] == (2, given)


def test_a_jax_that_runs_is_left_alone():
    devices, _, flags = started(before="import jax; jax.devices()")
    assert (devices, flags) == (1, "")


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about the GNU C library")


@pytest.mark.slow
@linux
def test_memory_of_a_call_is_there_for_the_next():
    before, after = started()[1]
    assert after < before / 3  # the first of five times needs pages


@pytest.mark.slow
@linux
def test_what_the_environment_says_of_memory_stays():
    before, after = started(MALLOC_MMAP_THRESHOLD_="100000")[1]
    assert after > before / 2
