"""Hundreds of patients with diaries of different lengths, each with a level of their own.

Daily counts of symptoms of 200 simulated patients, who go through good and bad spells, and whether
they took a painkiller. Their levels of symptoms differ, and are pooled partially: a patient with a
short diary borrows from the others.

Run ``python examples/hmm_panel.py``; it prints the estimates and saves a picture.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from pymc.distributions.transforms import ordered

import pymc_jaxdist as pmj

N, T = 200, 40
TRUE = {
    "log_rate": np.log([1.0, 5.0]),
    "between": 0.6,
    "painkiller": np.array([0.1, 0.7]),
    "P": np.array([[0.93, 0.07], [0.2, 0.8]]),
}


def simulate(rng):
    """Return diaries ``(N, T, 2)``, padded beyond their lengths, lengths, levels and states."""
    lengths = rng.integers(5, T + 1, size=N)
    level = TRUE["between"] * rng.normal(size=N)
    states = np.zeros((N, T), dtype=int)
    states[:, 0] = rng.random(N) < 0.26
    for t in range(1, T):
        states[:, t] = rng.random(N) < TRUE["P"][states[:, t - 1], 1]
    counts = rng.poisson(np.exp(TRUE["log_rate"][states] + level[:, None]))
    painkiller = rng.random((N, T)) < TRUE["painkiller"][states]
    return np.stack([counts, painkiller], axis=-1), lengths, level, states


def build_model(diaries, lengths):
    """Two ordered rates of the average patient, and how far the level of each is from it.

    Levels sum to zero: if all of them could rise while the rates fall, chains would drift along.
    """
    with pm.Model() as model:
        log_rate = pm.Normal("log_rate", [0.0, 1.5], 1.0, shape=2, transform=ordered)
        between = pm.HalfNormal("between", 1.0)
        level = pm.ZeroSumNormal("level", between, shape=N)
        P = pmj.sticky_dirichlet("P", 2, stay=4.0)
        painkiller = pm.Beta("painkiller", 1, 1, shape=2)
        rates = pm.math.exp(log_rate + level[:, None, None])
        emission = pm.Poisson.dist(rates), pm.Bernoulli.dist(painkiller)
        pmj.MarginalHMM("diaries", emission, P, lengths=lengths, observed=diaries)
    return model


def draw(counts, lengths, level, estimate, sd, probs, file):
    """Save levels against the truth, and some diaries with the days decoded as bad."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    points = left.scatter(level, estimate, c=lengths, s=14, cmap="viridis", zorder=2)
    left.errorbar(level, estimate, 1.64 * sd, fmt="none", color="0.85", linewidth=0.8, zorder=1)
    left.axline((0, 0), slope=1, color="0.3", linewidth=0.8)
    left.set(
        xlabel="log rate above the average, in truth", ylabel="posterior mean and 90 % interval"
    )
    figure.colorbar(points, ax=left, label="days in the diary")
    shown = np.argsort(lengths)[:: N // 12][:12]
    for row, n in enumerate(shown):
        days = np.arange(lengths[n])
        right.scatter(
            days,
            np.full(len(days), row),
            s=4 + 5 * counts[n, : lengths[n]],
            c=probs[n, : lengths[n]],
            cmap="coolwarm",
            vmin=0,
            vmax=1,
        )
    right.set(xlabel="day", ylabel="patients, by length of their diary", yticks=[])
    figure.get_layout_engine().set(wspace=0.06)
    right.set_title("size: symptoms; colour: probability of a bad spell", fontsize=9, loc="left")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)


def main():
    """Simulate, fit, decode, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=800, help="draws per chain, after 300 to tune")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder")
    arguments = parser.parse_args()

    diaries, lengths, level, states = simulate(np.random.default_rng(4))
    with build_model(diaries, lengths) as model:
        idata = pm.sample(
            arguments.draws,
            tune=300,
            chains=4,
            nuts_sampler="numpyro",
            random_seed=1,
            progressbar=False,
        )
    posterior = idata["posterior"]
    for name in ("log_rate", "between", "painkiller", "P"):
        values = posterior[name].values
        mean, sd = values.mean(axis=(0, 1)).round(2), values.std(axis=(0, 1)).round(3)
        truth = np.round(TRUE[name], 2)
        print(f"{name:10} truth {truth.tolist()}, mean {mean.tolist()}, sd {sd.tolist()}")
    probs = pmj.decode_states(idata, "diaries", model=model).mean(("chain", "draw")).values[..., 1]
    inside = np.arange(T) < lengths[:, None]
    agree = np.mean((probs > 0.5)[inside] == states[inside])
    print(f"{agree:.0%} of {inside.sum()} days are decoded as they were.")
    levels = posterior["level"].values
    level = level - level.mean()  # of these patients, as in the model
    estimate, sd = levels.mean(axis=(0, 1)), levels.std(axis=(0, 1))
    covered = np.mean(np.abs(estimate - level) < 1.64 * sd)
    print(f"{covered:.0%} of the 90 % intervals hold the level.")
    arguments.output.mkdir(exist_ok=True)
    file = arguments.output / "hmm_panel.png"
    draw(diaries[..., 0], lengths, level, estimate, sd, probs, file)
    print(f"The picture is {file}.")


if __name__ == "__main__":
    main()
