"""Fit one small model with the installed package, far from the source tree."""

import sys
from importlib.resources import files
from pathlib import Path


def main():
    import numpy as np
    import pymc as pm

    import pymc_jaxdist as pmj
    from pymc_jaxdist.datasets import load_earthquakes

    package = Path(pmj.__file__).resolve().parent
    assert Path(sys.prefix).resolve() in package.parents, f"imported from {package}"
    assert files("pymc_jaxdist").joinpath("py.typed").is_file()

    with pm.Model():
        rates = pm.Gamma("rates", mu=np.array([10, 30]), sigma=10)
        transitions = pm.Dirichlet("transitions", a=np.ones((2, 2)) + 4 * np.eye(2))
        pmj.MarginalHMM(
            "counts",
            emission=pm.Poisson.dist(rates),
            transition_matrix=transitions,
            observed=load_earthquakes().count,
        )
        idata = pm.sample(
            200, tune=300, chains=2, cores=2, nuts_sampler="pymc", random_seed=1, progressbar=False
        )
    low, high = idata["posterior"]["rates"].mean(("chain", "draw")).values
    assert 13.5 < low < 17.5, low
    assert 23.5 < high < 29.0, high
    print(f"fitted two rates: {low:.1f} and {high:.1f}")


if __name__ == "__main__":
    main()
