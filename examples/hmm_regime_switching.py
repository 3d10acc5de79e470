"""Calm and turbulent times of the US federal funds rate, 1954 to 2010.

In each regime the rate follows an autoregression of its own, and the chance to enter turbulent
times depends on the level of the rate a quarter before. The data are those of the Stata manual
on Markov-switching models.

Run ``python examples/hmm_regime_switching.py``; it prints the estimates and saves a picture.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from matplotlib.colors import LinearSegmentedColormap
from pymc.distributions.transforms import ordered

import pymc_jaxdist as pmj
from pymc_jaxdist.datasets import load_fedfunds

STATES = ["calm", "turbulent"]


def build_model(rate):
    """Build an autoregression for each regime, ordered by the size of its innovations."""
    level = (rate - rate.mean()) / rate.std()
    with pm.Model(coords={"state": STATES}) as model:
        log_sigma = pm.Normal("log_sigma", [-1.0, 0.5], 1.0, transform=ordered, dims="state")
        sigma = pm.Deterministic("sigma", pm.math.exp(log_sigma), dims="state")
        persistence = pm.Normal("persistence", 0.9, 0.1, dims="state")
        drift = pm.Normal("drift", 0.0, 0.5, dims="state")
        base = pm.Normal("base", -2.0, 1.0, dims="state")
        by_level = pm.Normal("by_level", 0.0, 1.0, dims="state")
        # The rate of the quarter before moves the transition.
        logits = base[:, None] + by_level[:, None] * level[:-1, None, None]
        emission = pmj.AutoRegressive(pm.Normal.dist(drift, sigma), persistence[:, None])
        pmj.MarginalHMM(
            "rate", emission, pmj.transition_from_logits(logits), "uniform", observed=rate
        )
    return model


def draw(year, rate, probs, idata, file):
    """Save the rate, the probability of turbulence, and how it comes about."""
    figure, (top, below, beside) = plt.subplots(
        3, 1, figsize=(8, 8), height_ratios=[2, 1, 1.6], layout="constrained"
    )
    top.plot(year, rate, color="0.2", linewidth=1)
    edges = np.append(year, 2 * year[-1] - year[-2]) - 0.125
    shade = LinearSegmentedColormap.from_list("turbulent", ["#ffffff", "#e9b3a9"])
    transform = top.get_xaxis_transform()
    top.pcolormesh(edges, [0, 1], probs[None], cmap=shade, vmin=0, vmax=1, transform=transform)
    below.stairs(probs, edges, fill=True, color="#c8503c", alpha=0.8)
    for ax in (top, below):
        ax.set(xlim=(edges[0], edges[-1]))
    top.set(ylabel="federal funds rate (%)", ylim=(0, 19))
    below.set(ylabel="P(turbulent)", ylim=(0, 1))
    grid = np.linspace(rate.min(), rate.max(), 100)
    level = (grid - rate.mean()) / rate.std()
    posterior = idata["posterior"]
    for k, (label, color) in enumerate(
        [("calm becomes turbulent", "#c8503c"), ("turbulent becomes calm", "#3b6fb6")]
    ):
        base, slope = (posterior[name].values[..., k, None] for name in ("base", "by_level"))
        leave = (1 / (1 + np.exp(-base - slope * level))).reshape(-1, len(grid))
        low, middle, high = np.quantile(leave, [0.05, 0.5, 0.95], axis=0)
        beside.fill_between(grid, low, high, color=color, alpha=0.2, linewidth=0)
        beside.plot(grid, middle, color=color, label=label)
    beside.set(
        xlabel="rate of the quarter before (%)", ylabel="probability, 90 % interval", ylim=(0, 1)
    )
    beside.legend(frameon=False)
    for ax in (top, below, beside):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)


def main():
    """Fit, report, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=400, help="draws per chain, also for tuning")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder")
    arguments = parser.parse_args()

    funds = load_fedfunds()
    with build_model(funds.rate) as model:
        start = pmj.initial_values("rate", random_seed=1)
        idata = pm.sample(
            arguments.draws,
            tune=arguments.draws,
            chains=2,
            target_accept=0.9,
            nuts_sampler="numpyro",
            initvals=start,
            random_seed=1,
            progressbar=False,
        )
    for name in ("sigma", "persistence", "drift", "by_level"):
        values = idata["posterior"][name].values
        mean, sd = values.mean(axis=(0, 1)).round(2), values.std(axis=(0, 1)).round(2)
        print(f"{name:11} {STATES[0]} {mean[0]} ± {sd[0]}, {STATES[1]} {mean[1]} ± {sd[1]}")
    states = pmj.decode_states(idata, "rate", model=model).mean(("chain", "draw")).values
    turbulent = funds.year[states[:, 1] > 0.5]
    print(f"Turbulent: {len(turbulent)} of {len(funds.year)} quarters.")
    arguments.output.mkdir(exist_ok=True)
    file = arguments.output / "hmm_regime_switching.png"
    draw(funds.year, funds.rate, states[:, 1], idata, file)
    print(f"The picture is {file}.")


if __name__ == "__main__":
    main()
