"""Sample the model in a file written by another process; print the posterior mean of mu."""

import sys
from pathlib import Path

import cloudpickle
import pymc as pm


def main():
    model = cloudpickle.loads(Path(sys.argv[1]).read_bytes())
    with model:
        idata = pm.sample(
            300, tune=300, chains=2, cores=2, nuts_sampler="pymc", random_seed=1, progressbar=False
        )
    print(*idata["posterior"]["mu"].values.mean(axis=(0, 1)))


if __name__ == "__main__":
    main()
