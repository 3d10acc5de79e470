"""Interrupt sampling as Ctrl-C does; print how many draws pm.sample returns, and whether finite."""

import os
import signal
import sys

import numpy as np
import pymc as pm

from tests.system.small_model import smallest_model


def interrupt(trace, draw):
    if not draw.tuning and draw.draw_idx >= 130:
        os.kill(os.getpid(), signal.SIGINT)


def main(cores):
    # A shell without a terminal lets jobs in its background ignore what Ctrl-C sends.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with smallest_model():
        idata = pm.sample(
            100_000,
            tune=100,
            chains=2,
            cores=cores,
            nuts_sampler="pymc",
            random_seed=1,
            progressbar=False,
            callback=interrupt,
            compute_convergence_checks=False,
        )
    draws = idata["posterior"]["mu"].values
    print("draws", draws.shape[1], bool(np.isfinite(draws).all()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
