"""Everything one asks of a hidden Markov model after it was fitted, on the earthquake counts.

How long do the quiet and the active periods last? Which path of states is the most probable? Does
the model fit, and what does it expect of the next ten years? Each answer is one call, and each
picture another.

Run ``python examples/earthquakes_in_depth.py``; it prints the answers and saves five pictures.
"""

import argparse
from pathlib import Path

import numpy as np
import pymc as pm
from earthquakes import STATES, build_model
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist import plots
from pymc_jaxdist.datasets import load_earthquakes

HORIZON = 10


def report(idata, model, counts):
    """Print what the posterior says of states, transitions, fit and future."""
    occupancy = pmj.state_occupancy(idata, "counts", model=model).mean(("chain", "draw"))
    transitions = pmj.transition_counts(idata, "counts", model=model).mean(("chain", "draw"))
    print(f"{'':8}{'share':>8}{'stays':>8}{'years a stay':>14}    transitions to {STATES}")
    for k, state in enumerate(STATES):
        numbers = (occupancy[name].values[k] for name in ("fraction", "stays", "mean_duration"))
        row = "".join(f"{x:8.1f}" for x in transitions.values[k])
        print("{:8}{:8.2f}{:8.1f}{:14.1f}".format(state, *numbers) + f"    {row}")

    paths = pmj.decode_states(idata, "counts", "viterbi", model=model)
    flat = paths.values.reshape(-1, len(counts))
    path, votes = stats.mode(flat, axis=0)
    agreement = np.mean(votes) / len(flat)
    print(f"\nThe most probable paths agree in {agreement:.0%} of the draws, on average.")

    densities = pmj.one_step_log_predictive(idata, "counts", model=model)
    predictive = np.log(np.exp(densities).mean(("chain", "draw")))
    worst = np.argmin(predictive.values)
    print(f"The least expected year was {predictive.year.values[worst]}, with {counts[worst]}.")
    return path


def draw_pictures(idata, model, years, counts, path, folder):
    """Save five pictures of the fit."""
    names = {"state_names": STATES}
    states = pmj.decode_states(idata, "counts", model=model)
    occupancy = pmj.state_occupancy(idata, "counts", model=model)
    residuals = pmj.pseudo_residuals(idata, "counts", model=model, random_seed=1)
    future = pmj.forecast(idata, "counts", HORIZON, model=model, random_seed=1)
    grid = np.arange(counts.max() + 5)
    rates = idata["posterior"]["rates"].values
    densities = stats.poisson.pmf(grid[:, None], rates[:, :, None, :])
    all_years = np.arange(years[0], years[-1] + HORIZON + 1)
    label = "earthquakes per year"

    pictures = {
        "states": plots.plot_state_probabilities(counts, states, path=path, ylabel=label),
        "densities": plots.plot_state_densities(
            counts, densities, grid, occupancy["fraction"], discrete=True, xlabel=label, **names
        ),
        "transitions": plots.plot_transition_matrix(idata["posterior"]["transitions"], **names),
        "residuals": plots.plot_pseudo_residuals(residuals),
        "forecast": plots.plot_forecast(
            counts, future["counts"], all_years, n_shown=50, xlabel="year", ylabel=label
        ),
    }
    for name, (figure, _) in pictures.items():
        figure.savefig(folder / f"earthquakes_{name}.png", dpi=130)
    print(f"Pictures are in {folder}/earthquakes_*.png.")


def main():
    """Fit, report, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500, help="draws per chain, also for tuning")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder")
    arguments = parser.parse_args()

    quakes = load_earthquakes()
    model = build_model(quakes.year, quakes.count)
    with model:
        idata = pm.sample(
            arguments.draws,
            tune=arguments.draws,
            chains=2,
            nuts_sampler="numpyro",
            random_seed=1,
            progressbar=False,
        )
    path = report(idata, model, quakes.count)
    arguments.output.mkdir(exist_ok=True)
    draw_pictures(idata, model, quakes.year, quakes.count, path, arguments.output)


if __name__ == "__main__":
    main()
