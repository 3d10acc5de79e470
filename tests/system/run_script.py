"""Run a script in a process of its own, with a time limit that holds for its workers too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "SCRIPTS", "Finished", "Hang", "run_script"]

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"


class Hang(Exception):
    """A script did not end in time."""


class Finished(NamedTuple):
    """What a script left behind."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float


def run_script(name, *arguments, timeout, cwd=None):
    """Run a script of ``scripts/``; raise `Hang`, and end it with its workers, if it takes longer.

    The package is found through ``PYTHONPATH``, as if it were installed.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / name), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        message = f"{name} had not ended after {timeout} s.\n{stdout}\n{stderr}"
        raise Hang(message) from None
    return Finished(process.returncode, stdout, stderr, time.monotonic() - start)
