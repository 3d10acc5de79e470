"""A few labels go a long way: states that an expert scored for a part of a recording.

A simulated night of one sleeper, in three stages whose signals overlap. Without labels nothing
says which state is which; with a label on every tenth epoch the stages have names, and every chain
agrees on them.

Run ``python examples/hmm_known_states.py``; it prints how well and saves a picture.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pymc_jaxdist as pmj

STAGES = ["deep", "light", "dream"]
COLORS = ["#26456e", "#6ba3d6", "#e08a1e"]
P = np.array([[0.95, 0.05, 0.0], [0.03, 0.93, 0.04], [0.0, 0.06, 0.94]])
MEAN = np.array([[3.0, 0.0], [1.0, 0.2], [0.4, 1.4]])
T = 700


def simulate(rng):
    """Return the stages and two signals of each epoch: slow waves and eye movements."""
    stages = np.ones(T, dtype=int)
    for t in range(1, T):
        stages[t] = rng.choice(3, p=P[stages[t - 1]])
    return stages, MEAN[stages] + rng.normal(size=(T, 2))


def build_model(signals, labels):
    """Three stages that are only told apart by what is labelled."""
    with pm.Model(coords={"stage": STAGES, "signal": ["slow waves", "eyes"]}) as model:
        mean = pm.Normal("mean", 0.0, 3.0, dims=("stage", "signal"))
        sigma = pm.HalfNormal("sigma", 2.0, dims="signal")
        transitions = pmj.sticky_dirichlet("P", 3, stay=10.0)
        emission = tuple(pm.Normal.dist(mean[:, d], sigma[d]) for d in range(2))
        pmj.MarginalHMM("signals", emission, transitions, allowed_states=labels, observed=signals)
    return model


def fit(signals, labels, draws):
    """Sample, and return the probability of each stage at each epoch."""
    with build_model(signals, labels) as model:
        idata = pm.sample(
            draws,
            tune=draws,
            chains=2,
            nuts_sampler="numpyro",
            initvals=pmj.initial_values("signals", random_seed=1),
            random_seed=1,
            progressbar=False,
        )
    return pmj.decode_states(idata, "signals", model=model).mean(("chain", "draw")).values


def draw(stages, signals, labels, probs, file):
    """Save the signals, the labels, and the decoded night under the true one."""
    figure, (top, middle, bottom) = plt.subplots(
        3, 1, figsize=(9, 7), height_ratios=[1.2, 0.5, 1], sharex=True, layout="constrained"
    )
    epochs = np.arange(T)
    for d, name in enumerate(["slow waves", "eye movements"]):
        top.plot(epochs, signals[:, d] - 5 * d, linewidth=0.6, color="0.35")
        top.text(T + 5, MEAN[:, d].mean() - 5 * d, name, fontsize=9, va="center")
    top.set(yticks=[], ylabel="signal")
    for row, (path, name) in enumerate([(stages, "in truth"), (labels, "labelled")]):
        for k, color in enumerate(COLORS):
            middle.vlines(epochs[path == k], row - 0.4, row + 0.4, color=color, linewidth=1.2)
        middle.text(T + 5, row, name, fontsize=9, va="center")
    middle.set(yticks=[], ylim=(-0.6, 1.6))
    bottom.stackplot(epochs, probs.T, colors=COLORS, labels=STAGES, linewidth=0, step="mid")
    bottom.set(xlim=(0, T), ylim=(0, 1), xlabel="epoch", ylabel="probability")
    bottom.legend(loc="lower center", ncols=3, fontsize=9, bbox_to_anchor=(0.5, 1.0), frameon=False)
    for ax in (top, middle, bottom):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)


def main():
    """Simulate, fit with labels, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="draws per chain, also for tuning")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder")
    arguments = parser.parse_args()

    stages, signals = simulate(np.random.default_rng(6))
    labels = np.where(np.arange(T) % 10 == 0, stages, -1)
    probs = fit(signals, labels, arguments.draws)
    unknown = labels < 0
    found = probs.argmax(axis=-1)
    print(
        f"{np.mean(found[unknown] == stages[unknown]):.0%} of the other epochs are decoded right."
    )
    for k, name in enumerate(STAGES):
        own = unknown & (stages == k)
        print(f"  {name:6} {np.mean(found[own] == k):.0%} of {own.sum()}")
    arguments.output.mkdir(exist_ok=True)
    file = arguments.output / "hmm_known_states.png"
    draw(stages, signals, labels, probs, file)
    print(f"The picture is {file}.")


if __name__ == "__main__":
    main()
