"""Predator and prey: the Lotka-Volterra equations fitted to pelts of lynx and hare.

    python examples/ode_lynx_hare.py [--draws 500]

The state in 1900 is unknown and observed like all others. Prints the posterior beside the published
one (posteriordb), checks the solver over the prior, and draws the fit into ode_lynx_hare.png.
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt

import pymc_jaxdist as pmj
from pymc_jaxdist.datasets import load_hudson_lynx_hare
from pymc_jaxdist.plots import plot_solution

SPECIES = ["hare", "lynx"]


def lotka_volterra(t, y, p):
    """Return the rates of change of hare and lynx."""
    hare, lynx = y
    return jnp.stack(
        [
            hare * (p["birth"] - p["eaten"] * lynx),
            lynx * (p["fed"] * hare - p["death"]),
        ]
    )


def build_model(data):
    """Return the model with the priors of the published analysis."""
    with pm.Model(coords={"year": data.year, "species": SPECIES}) as model:
        rates = {
            name: pm.TruncatedNormal(name, mu=mu, sigma=sigma, lower=0)
            for name, mu, sigma in [
                ("birth", 1.0, 0.5),
                ("eaten", 0.05, 0.05),
                ("death", 1.0, 0.5),
                ("fed", 0.05, 0.05),
            ]
        }
        sigma = pm.LogNormal("sigma", -1, 1, dims="species")
        start = pm.LogNormal("start", np.log(10), 1, dims="species")
        pmj.ODEObserved(
            "pelts",
            lotka_volterra,
            params=rates,
            y0=start,
            times=data.year - 1900.0,
            likelihood=lambda y: pm.LogNormal.dist(pt.log(y), sigma),
            observed=data.pelts,
            dims=("year", "species"),
        )
    return model


def main():
    """Fit, compare and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500, help="draws per chain, also for tuning")
    parser.add_argument("--output", type=Path, default=Path("ode_lynx_hare.png"))
    arguments = parser.parse_args()

    data = load_hudson_lynx_hare()
    model = build_model(data)
    print(pmj.check_ode(model, draws=50, random_seed=1))
    with model:
        idata = pm.sample(
            arguments.draws,
            tune=arguments.draws,
            chains=2,
            nuts_sampler="numpyro",
            # PyMC would start all rates near 1, for "eaten" and "fed" twenty standard deviations
            # from their prior, where a chain can get stuck: start at rates of a cycle of ten years.
            initvals={"birth": 0.6, "eaten": 0.03, "death": 0.8, "fed": 0.03},
            nuts_sampler_kwargs={"jitter": False, "chain_method": "vectorized"},
            random_seed=1,
            progressbar=False,
        )
    published = data.published["parameters"]
    posterior = idata["posterior"]
    print(f"{'':10}{'mean':>9}{'sd':>8}   published")
    for name, key in [("birth", 1), ("eaten", 2), ("death", 3), ("fed", 4)]:
        draws = posterior[name].values
        theirs = published[f"theta[{key}]"]
        print(
            f"{name:10}{draws.mean():9.4f}{draws.std():8.4f}   "
            f"{theirs['mean']:.4f} ({theirs['sd']:.4f})"
        )

    grid = np.linspace(0, 25, 101)
    predicted = pmj.predict(idata, "pelts", times=grid, model=model, random_seed=1)
    figure, _ = plot_solution(
        predicted["pelts_solution"],
        times=1900 + grid,
        observed=data.pelts,
        observed_times=data.year,
        names=SPECIES,
        ylabel="thousands of pelts",
    )
    figure.savefig(arguments.output, dpi=200)
    print(f"The fit, and five years beyond, is drawn in {arguments.output}")


if __name__ == "__main__":
    main()
