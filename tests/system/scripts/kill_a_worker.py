"""Sample in two processes, one of which is killed in the middle, as by the system when memory ends.

Prints what sampling raised, how long it took from the kill on, and which processes are left.
"""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pymc as pm

from tests.system.small_model import smallest_model

killed = []


def kill_one_worker(trace, draw):
    """Called by PyMC in this process after each draw of a worker."""
    if not killed and draw.draw_idx > 20:
        worker = multiprocessing.active_children()[0]
        os.kill(worker.pid, signal.SIGKILL)
        killed.append(time.monotonic())


def children():
    """Give the process ids and states of the children of this process."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text(encoding="ascii").rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(after_name[1]) == os.getpid():
            yield stat.parent.name, after_name[0]


def main():
    try:
        with smallest_model():
            pm.sample(
                100_000,
                tune=100,
                chains=2,
                cores=2,
                nuts_sampler="pymc",
                random_seed=1,
                progressbar=False,
                callback=kill_one_worker,
            )
    except Exception as error:
        print(f"raised {type(error).__name__}: {error}")
    print(f"after {time.monotonic() - killed[0]:.1f} s")
    print("workers", [worker.name for worker in multiprocessing.active_children()])
    print("zombies", [pid for pid, state in children() if state == "Z"])


if __name__ == "__main__":
    main()
