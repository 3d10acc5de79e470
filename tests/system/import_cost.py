"""What importing the package costs beyond PyMC and JAX, measured in a process of its own."""

import os
import subprocess
import sys
from typing import NamedTuple

from tests.system.run_script import ROOT

__all__ = ["ImportCost", "import_cost"]

CODE = """
import time
start = time.process_time()
import jax, pymc
between = time.process_time()
import pymc_jaxdist
end = time.process_time()
from jax._src import xla_bridge
print(end - between, between - start, len(xla_bridge._backends))
"""


class ImportCost(NamedTuple):
    """What the import takes.

    Attributes
    ----------
    seconds, seconds_before : float
        Of the processor: for the package, and for PyMC and JAX before it.
    backends : int
        How many JAX has started.
    """

    seconds: float
    seconds_before: float
    backends: int


def import_cost():
    """Import the package in a fresh process.

    It keeps the bytecode, as pip does when it installs; so the first call takes longer.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    seconds, seconds_before, backends = done.stdout.split()
    return ImportCost(float(seconds), float(seconds_before), int(backends))
