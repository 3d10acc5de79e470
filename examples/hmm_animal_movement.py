"""Where an animal rests and where it travels: step lengths and turning angles of a track.

The usual model of moveHMM and momentuHMM: two states, steps of Gamma and turns of von Mises
distributions, and a chance to leave for travel that depends on the temperature. The track is
simulated, with positions missing as they are in real ones, so that the states can be compared
with those that made it.

Run ``python examples/hmm_animal_movement.py``; it prints the estimates and saves a picture.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from pymc.distributions.transforms import ordered

import pymc_jaxdist as pmj

STATES = ["rest", "travel"]
COLORS = ["#3b6fb6", "#e08a1e"]
TRUE = {"step": np.array([0.2, 1.5]), "kappa": np.array([0.5, 4.0]), "warmth": 1.2}
T = 600


def simulate(rng):
    """Return temperatures, states, and a track with its steps and turns."""
    temperature = np.sin(2 * np.pi * np.arange(T) / 24) + 0.3 * rng.normal(size=T)
    leave = 1 / (
        1 + np.exp(2.5 - np.array([TRUE["warmth"], -TRUE["warmth"]]) * temperature[:, None])
    )
    states = np.zeros(T, dtype=int)
    for t in range(1, T):
        moved = rng.random() < leave[t, states[t - 1]]
        states[t] = 1 - states[t - 1] if moved else states[t - 1]
    step = rng.gamma(2.0, TRUE["step"][states] / 2.0)
    turn = rng.vonmises(0.0, TRUE["kappa"][states])
    heading = np.cumsum(turn)
    track = np.cumsum(step[:, None] * np.stack([np.cos(heading), np.sin(heading)], -1), axis=0)
    data = np.stack([step, turn], axis=-1)
    data[rng.random(T) < 0.1] = np.nan
    return temperature, states, track, data


def build_model(temperature, data):
    """Two ordered states; warmth makes the animal leave its rest, and keeps it travelling."""
    with pm.Model(coords={"state": STATES}) as model:
        log_step = pm.Normal("log_step", [-1.0, 0.0], 1.0, transform=ordered, dims="state")
        step = pm.Deterministic("step", pm.math.exp(log_step), dims="state")
        kappa = pm.Exponential("kappa", 0.3, dims="state")
        base = pm.Normal("base", -2.0, 1.0, dims="state")
        warmth = pm.Normal("warmth", 0.0, 1.0)
        slope = warmth * np.array([1.0, -1.0])
        logits = base[:, None] + slope[:, None] * temperature[1:, None, None]
        emission = (
            pm.Gamma.dist(mu=step, sigma=step / np.sqrt(2.0)),
            pm.VonMises.dist(0.0, kappa),
        )
        transitions = pmj.transition_from_logits(logits)
        pmj.MarginalHMM("track", emission, transitions, "uniform", observed=data)
    return model


def draw(track, data, states, path, probs, file):
    """Save the track by state, what the states emit, and their probabilities in time."""
    figure, axes = plt.subplot_mosaic(
        [["track", "step"], ["track", "turn"], ["time", "time"]],
        figsize=(9, 8),
        height_ratios=[2, 2, 1.2],
        layout="constrained",
    )
    for k, (name, color) in enumerate(zip(STATES, COLORS, strict=True)):
        own = path == k
        axes["track"].scatter(*track[own].T, s=8, color=color, label=name)
        axes["step"].hist(data[own, 0], bins=np.linspace(0, 5, 40), color=color, alpha=0.7)
        axes["turn"].hist(data[own, 1], bins=np.linspace(-np.pi, np.pi, 30), color=color, alpha=0.7)
    axes["track"].plot(*track.T, color="0.8", linewidth=0.6, zorder=0)
    axes["track"].set(xlabel="east (km)", ylabel="north (km)", aspect="equal")
    axes["track"].legend(frameon=False, loc="best", title="decoded state")
    axes["step"].set(xlabel="step (km)", ylabel="hours")
    axes["turn"].set(xlabel="turn (radians)", ylabel="hours")
    axes["time"].fill_between(np.arange(T), probs, color=COLORS[1], alpha=0.7, linewidth=0)
    axes["time"].plot(np.where(states == 1, 1.06, np.nan), color="0.2", linewidth=3)
    axes["time"].set(xlim=(0, T), ylim=(0, 1.12), xlabel="hour", ylabel="P(travel)")
    axes["time"].set_title("bars above: where it travelled in truth", fontsize=9, loc="right")
    for ax in axes.values():
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)


def main():
    """Simulate, fit, decode, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=300, help="draws per chain, also for tuning")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder")
    arguments = parser.parse_args()

    temperature, states, track, data = simulate(np.random.default_rng(3))
    with build_model(temperature, data) as model:
        start = pmj.initial_values("track", random_seed=1)
        idata = pm.sample(
            arguments.draws,
            tune=arguments.draws,
            chains=2,
            nuts_sampler="numpyro",
            initvals=start,
            random_seed=1,
            progressbar=False,
        )
    for name in ("step", "kappa", "warmth"):
        values = idata["posterior"][name].values
        mean, sd = values.mean(axis=(0, 1)).round(2), values.std(axis=(0, 1)).round(2)
        print(f"{name:8} truth {TRUE[name]}, posterior mean {mean}, sd {sd}")
    probs = pmj.decode_states(idata, "track", model=model).mean(("chain", "draw")).values
    path = probs.argmax(axis=-1)
    print(f"{np.mean(path == states):.0%} of the hours are decoded as they were.")
    arguments.output.mkdir(exist_ok=True)
    file = arguments.output / "hmm_animal_movement.png"
    draw(track, data, states, path, probs[:, 1], file)
    print(f"The picture is {file}.")


if __name__ == "__main__":
    main()
