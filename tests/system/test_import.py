"""Importing the package is cheap, and starts nothing."""

import subprocess
import sys

import pytest

from tests.system.import_cost import import_cost

pytestmark = pytest.mark.slow

LATER = """
import sys
import pymc_jaxdist
heavy = [m for m in ("pytensor.link.jax.dispatch", "pytensor.link.numba.dispatch", "diffrax",
                     "flax", "equinox", "matplotlib.pyplot", "scipy.optimize",
                     "jax._src.pallas") if m in sys.modules]
import jax
print(heavy, jax.config.jax_enable_x64)
"""


def test_costs_little_and_starts_no_backend():
    costs = [import_cost() for _ in range(2)]
    assert min(cost.seconds for cost in costs) < 0.5
    assert {cost.backends for cost in costs} == {0}


def test_what_a_model_needs_is_imported_with_the_first_model():
    """But JAX computes in double precision from the start, as PyTensor's floatX says."""
    pymc_alone = subprocess.run(
        [sys.executable, "-c", LATER.replace("pymc_jaxdist", "pymc")],
        capture_output=True,
        text=True,
        check=True,
    )
    ours = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, check=True)
    already, _ = pymc_alone.stdout.rsplit(" ", 1)
    heavy, double = ours.stdout.rsplit(" ", 1)
    assert heavy == already
    assert double.strip() == "True"


@pytest.mark.parametrize("chosen", ["False", "True"])
def test_the_precision_chosen_after_the_import_stays(chosen):
    code = f"""
import jax, pymc as pm, pymc_jaxdist as pmj
jax.config.update("jax_enable_x64", {chosen})
pmj.MarginalHMM.dist(pm.Normal.dist([0.0, 1.0], 1.0), [[0.9, 0.1], [0.2, 0.8]], steps=3)
logp = pm.logp(
    pmj.MarginalHMM.dist(pm.Normal.dist([0.0, 1.0], 1.0), [[0.9, 0.1], [0.2, 0.8]], steps=3),
    [0.0, 0.1, 0.2],
)
assert logp.dtype == "float64"
print(jax.config.jax_enable_x64)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == chosen
