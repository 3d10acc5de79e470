"""A disease that gets worse, seen through an imperfect test at irregular visits.

The model of the R package msm: states in continuous time with rates between them, and a test
that reports the wrong stage now and then. Simulated, after the heart transplant study of its
manual: healthy, mild, severe and dead; recovery from mild is possible, death is known.

Run ``python examples/hmm_disease_progression.py``; it prints the estimates and saves a picture.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.linalg import expm

import pymc_jaxdist as pmj

STATES = ["healthy", "mild", "severe", "dead"]
COLORS = ["#4c9f70", "#e3b23c", "#d1603d", "#444444"]
FROM, TO = [0, 0, 1, 1, 1, 2], [1, 3, 0, 2, 3, 3]
TRUE = np.array([0.25, 0.04, 0.15, 0.3, 0.06, 0.3])
ERROR = 0.1
N, VISITS = 300, 9


def simulate(rng):
    """Return gaps between visits in years, rounded to months, and results of the test."""
    rates = np.zeros((4, 4))
    rates[FROM, TO] = TRUE
    np.fill_diagonal(rates, -rates.sum(axis=1))
    gaps = np.maximum(1, np.round(12 * rng.exponential(0.8, size=(N, VISITS - 1)))) / 12
    seen = np.zeros((N, VISITS), dtype=int)
    for n in range(N):
        state = 0
        for t in range(VISITS):
            if t > 0:
                state = rng.choice(4, p=expm(rates * gaps[n, t - 1])[state])
            wrong = state < 3 and rng.random() < ERROR
            nearest = {0: 1, 1: rng.choice([0, 2]), 2: 1}
            seen[n, t] = nearest[state] if wrong else state
    return gaps, seen


def build_model(gaps, seen):
    """Six rates and one probability of error."""
    with pm.Model() as model:
        rates = pm.LogNormal("rates", np.log(0.15), 1.0, shape=len(FROM))
        Q = pt.zeros((4, 4))[FROM, TO].set(rates)
        error = pm.Beta("error", 1, 9)
        test = [
            [1 - error, error, 0, 0],
            [error / 2, 1 - error, error / 2, 0],
            [0, error, 1 - error, 0],
            [0, 0, 0, 1],
        ]
        test = pt.stack([pt.stack(row) for row in test])
        transitions = pmj.transition_from_rates(Q, gaps)
        pmj.MarginalHMM(
            "seen", pm.Categorical.dist(p=test), transitions, [1.0, 0, 0, 0], observed=seen
        )
    return model


def draw(idata, file):
    """Save the rates against the truth, and the share of patients in each state over time."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    draws = idata["posterior"]["rates"].values.reshape(-1, len(FROM))
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95], axis=0)
    rows = np.arange(len(FROM))
    left.errorbar(middle, rows, xerr=[middle - low, high - middle], fmt="o", color="#3b6fb6")
    left.plot(TRUE, rows, "|", color="0.1", markersize=16, markeredgewidth=1.5, label="truth")
    names = [f"{STATES[i]} to {STATES[j]}" for i, j in zip(FROM, TO, strict=True)]
    left.set(yticks=rows, yticklabels=names, xlabel="rate per year, 90 % interval")
    left.invert_yaxis()
    left.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), markerscale=0.6)
    years = np.linspace(0, 15, 31)
    occupied = []
    for rates in draws[:: max(1, len(draws) // 100)]:
        Q = np.zeros((4, 4))
        Q[FROM, TO] = rates
        np.fill_diagonal(Q, -Q.sum(axis=1))
        step, probs = expm(Q * years[1]), [np.eye(4)[0]]
        for _ in years[1:]:
            probs.append(probs[-1] @ step)
        occupied.append(probs)
    right.stackplot(years, np.mean(occupied, axis=0).T, labels=STATES, colors=COLORS, alpha=0.85)
    right.set(xlim=(0, 15), ylim=(0, 1), xlabel="years", ylabel="share of patients")
    right.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, borderpad=0)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)


def main():
    """Simulate, fit, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500, help="draws per chain, also for tuning")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder")
    arguments = parser.parse_args()

    gaps, seen = simulate(np.random.default_rng(5))
    with build_model(gaps, seen) as model:
        idata = pm.sample(
            arguments.draws,
            tune=arguments.draws,
            chains=2,
            nuts_sampler="numpyro",
            random_seed=1,
            progressbar=False,
        )
    posterior = idata["posterior"]
    for k, (i, j) in enumerate(zip(FROM, TO, strict=True)):
        values = posterior["rates"].values[..., k]
        label = f"{STATES[i]} to {STATES[j]}"
        print(f"{label:17} truth {TRUE[k]:.2f}, {values.mean():.2f} ± {values.std():.2f} a year")
    error = posterior["error"].values
    print(f"{'error of the test':17} truth {ERROR:.2f}, {error.mean():.2f} ± {error.std():.2f}")
    states = pmj.decode_states(idata, "seen", "viterbi", model=model).values.reshape(-1, N, VISITS)
    corrected = np.mean(states != seen)
    print(f"{corrected:.1%} of the results are called errors by the most probable path.")
    arguments.output.mkdir(exist_ok=True)
    file = arguments.output / "hmm_disease_progression.png"
    draw(idata, file)
    print(f"The picture is {file}.")


if __name__ == "__main__":
    main()
