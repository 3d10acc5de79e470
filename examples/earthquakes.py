"""Quiet and active decades: a hidden Markov model of the world's major earthquakes.

The number of major earthquakes varies from year to year more than chance alone would make it. A
hidden Markov model explains this by a state of the earth which we do not see: in each state the
counts are Poisson with a rate of their own, and the state of this year depends on that of last
year. The hidden states are summed out exactly, so that any sampler for continuous parameters
works. Here two of them fit the same model: PyMC's own, and NumPyro's.

Run ``python examples/earthquakes.py``; it prints both fits and draws the states of each year.
"""

import argparse
import time
from pathlib import Path

import arviz as az
import numpy as np
import pymc as pm
from pymc.distributions.transforms import ordered

import pymc_jaxdist as pmj
from pymc_jaxdist.datasets import load_earthquakes
from pymc_jaxdist.plots import plot_state_probabilities

STATES = ["quiet", "middle", "active"]


def build_model(years, counts):
    """Return a three-state Poisson hidden Markov model of the counts.

    The rates are ordered, so that "quiet" means the same state in every draw. The prior of the
    transition matrix says that a state lasts for some years.
    """
    n_states = len(STATES)
    coords = {"year": years, "state": STATES, "next_state": STATES}
    with pm.Model(coords=coords) as model:
        log_rates = pm.Normal(
            "log_rates",
            mu=np.log([10.0, 20.0, 40.0]),
            sigma=0.5,
            dims="state",
            transform=ordered,
        )
        rates = pm.Deterministic("rates", pm.math.exp(log_rates), dims="state")
        transitions = pm.Dirichlet(
            "transitions",
            a=np.ones((n_states, n_states)) + 4 * np.eye(n_states),
            dims=("state", "next_state"),
        )
        pmj.MarginalHMM(
            "counts",
            emission=pm.Poisson.dist(rates),
            transition_matrix=transitions,
            initial_probs="stationary",
            observed=counts,
            dims="year",
        )
    return model


def sample(model, nuts_sampler, draws, seed):
    """Sample four chains; return the draws and the seconds it took."""
    start = time.perf_counter()
    with model:
        idata = pm.sample(
            draws,
            tune=draws,
            chains=4,
            cores=2,
            nuts_sampler=nuts_sampler,
            random_seed=seed,
            progressbar=False,
        )
    return idata, time.perf_counter() - start


def print_side_by_side(fits):
    """Print mean, standard deviation, effective sample size and R-hat of every fit."""
    columns = {"mean": "9.2f", "sd": "7.2f", "ess_bulk": "7.0f", "r_hat": "7.2f"}
    headings = f"{'mean':>9}{'sd':>7}{'ESS':>7}{'R-hat':>7}"
    width = 30
    tables = [az.summary(idata, var_names=["rates", "transitions"]) for idata, _ in fits.values()]

    print()
    print(" " * width + "".join(f"{name:^{len(headings)}}" for name in fits))
    print(f"{'':{width}}" + headings * len(fits))
    for parameter in tables[0].index:
        cells = (
            f"{float(table.loc[parameter, column]):{form}}"
            for table in tables
            for column, form in columns.items()
        )
        print(f"{parameter:{width}}" + "".join(cells))
    times = (f"{seconds:.0f} s, compiling included" for _, seconds in fits.values())
    print(f"{'time':{width}}" + "".join(f"{text:^{len(headings)}}" for text in times))


def main():
    """Fit the model twice, print both fits, and draw the decoded states."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="draws per chain, also for tuning")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("earthquakes.png"))
    arguments = parser.parse_args()

    quakes = load_earthquakes()
    print(f"{quakes.description} ({quakes.source}).")
    model = build_model(quakes.year, quakes.count)

    fits = {}
    for name, nuts_sampler in {"PyMC": "pymc", "NumPyro": "numpyro"}.items():
        print(f"Sampling with {name} ...", flush=True)
        fits[name] = sample(model, nuts_sampler, arguments.draws, arguments.seed)
    print_side_by_side(fits)

    idata, _ = fits["PyMC"]
    states = pmj.decode_states(idata, "counts", kind="smoothed", model=model)
    figure, _ = plot_state_probabilities(
        quakes.count,
        states,
        state_names=STATES,
        state_levels=idata["posterior"]["rates"].mean(("chain", "draw")).values,
        ylabel="earthquakes per year",
    )
    figure.savefig(arguments.output, dpi=200)
    most_active = quakes.year[states.mean(("chain", "draw")).values[:, -1] > 0.5]
    print(f"\nYears more likely active than not: {', '.join(map(str, most_active))}")
    print(f"The states of each year are drawn in {arguments.output}")


# PyMC runs chains in worker processes, which import this file: without the guard each of them
# would sample again.
if __name__ == "__main__":
    main()
