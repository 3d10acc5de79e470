"""What importing the package costs beyond PyMC and JAX, measured in a process of its own."""

import os
import subprocess
import sys
from typing import NamedTuple

from tests.system.run_script import ROOT

__all__ = ["ImportCost", "import_cost"]

CODE = """
import time
import jax, pymc
start = time.process_time()
import pymc_jaxdist
seconds = time.process_time() - start
from jax._src import xla_bridge
print(seconds, len(xla_bridge._backends))
"""


class ImportCost(NamedTuple):
    """Seconds of the processor, and how many backends JAX has started."""

    seconds: float
    backends: int


def import_cost():
    """Import the package in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    seconds, backends = done.stdout.split()
    return ImportCost(float(seconds), int(backends))
