"""Weather regimes in the wind of New York: directions and speeds of one year.

Three states, each with a prevailing direction (von Mises) and a speed (Gamma), as in the wind
examples of Zucchini, MacDonald and Langrock (2016). Directions are missing when it is calm, and a
few reports altogether.

Run ``python examples/hmm_wind.py``; it prints the regimes and saves a picture.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist import plots
from pymc_jaxdist.plots.appearance import state_colors

FILE = Path(__file__).parent / "data" / "jfk_wind_2013.csv"
K = 3
COMPASS = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"]
# A calm is reported below three knots.
CALM = 1.5


def load():
    """Return times, and directions (radians, clockwise from north) and speeds (knots)."""
    table = np.genfromtxt(FILE, delimiter=",", skip_header=5)
    times = np.datetime64("2013-01-01T03:00") + np.arange(len(table)) * np.timedelta64(3, "h")
    direction = np.deg2rad(table[:, 0])
    direction = np.where(direction > np.pi, direction - 2 * np.pi, direction)
    return times, np.stack([direction, np.maximum(table[:, 1], CALM)], axis=-1)


def build_model(wind):
    """Three prevailing directions, with speeds of their own."""
    with pm.Model() as model:
        direction = pm.VonMises("direction", 0.0, 0.01, shape=K)
        concentration = pm.Exponential("concentration", 0.3, shape=K)
        speed = pm.Gamma("speed", mu=10.0, sigma=5.0, shape=K)
        spread = pm.HalfNormal("spread", 5.0, shape=K)
        emission = (
            pm.VonMises.dist(direction, concentration),
            pm.Gamma.dist(mu=speed, sigma=spread),
        )
        pmj.MarginalHMM("wind", emission, pmj.sticky_dirichlet("P", K, stay=5.0), observed=wind)
    return model


def name_of(direction):
    """Return the name of a direction in radians."""
    return COMPASS[round(direction / (np.pi / 4)) % 8]


def draw(times, wind, idata, probs, names, file):
    """Save wind rose and speeds of the regimes, their shares by month, and one month."""
    colors = state_colors(K)
    figure = plt.figure(figsize=(9, 7), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    rose = figure.add_subplot(grid[0, 0], projection="polar")
    rose.set(theta_zero_location="N", theta_direction=-1, yticks=[], axisbelow=True)
    rose.grid(color="0.9")
    rose.spines["polar"].set_color("0.8")
    rose.set_xticks(np.arange(8) * np.pi / 4, ["N", "", "E", "", "S", "", "W", ""])
    width = np.pi / 18
    sector = np.round(wind[:, 0] / width)
    bottom = np.zeros(36)
    angles = np.arange(36) - 17
    for k, color in enumerate(colors):
        height = np.array([probs[sector % 36 == a % 36, k].sum() for a in angles])
        # Areas, not heights, are proportional to the number of reports.
        outer = np.sqrt(bottom**2 + height)
        rose.bar(
            angles * width, outer - bottom, width, bottom, color=color, edgecolor="w", linewidth=0.4
        )
        bottom = outer
    rose.set_title("direction the wind comes from", fontsize="medium")

    speeds = figure.add_subplot(grid[0, 1])
    values = np.linspace(0.1, 35, 200)
    posterior = idata["posterior"]
    mean, spread = (posterior[v].values[:, ::5, None, :] for v in ("speed", "spread"))
    shape, scale = (mean / spread) ** 2, spread**2 / mean
    densities = stats.gamma.pdf(values[:, None], shape, scale=scale)
    share = np.broadcast_to(probs.mean(axis=0), (*densities.shape[:2], K))
    plots.plot_state_densities(
        wind[:, 1],
        densities,
        values,
        share,
        bins=np.arange(0.5, 35),
        state_names=names,
        xlabel="speed (knots)",
        ax=speeds,
    )

    months = times.astype("datetime64[M]").astype(int) % 12
    season = figure.add_subplot(grid[1, 0])
    shares = np.array([probs[months == month].mean(axis=0) for month in range(12)])
    bottom = np.zeros(12)
    for k, color in enumerate(colors):
        season.bar(np.arange(12), shares[:, k], 0.92, bottom, color=color)
        bottom += shares[:, k]
    season.set(ylabel="share of the time", ylim=(0, 1), xticks=np.arange(12))
    season.set(xticklabels=list("JFMAMJJASOND"), xlim=(-0.6, 11.6))

    april = figure.add_subplot(grid[1, 1])
    shown = months == 3
    day = (times[shown] - times[shown][0]) / np.timedelta64(24, "h") + 1
    degrees = np.rad2deg(wind[shown, 0]) % 360
    april.scatter(day, degrees, s=12, color=colors[probs[shown].argmax(axis=-1)])
    april.set(xlabel="day in April", ylabel="direction", ylim=(0, 360), xlim=(1, 31))
    april.set_yticks(np.arange(0, 361, 90), ["N", "E", "S", "W", "N"])
    for ax in (season, april):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)


def main():
    """Fit, report, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500, help="draws per chain, also for tuning")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder")
    arguments = parser.parse_args()

    times, wind = load()
    with build_model(wind) as model:
        start = pmj.initial_values("wind", random_seed=1)
        idata = pm.sample(
            arguments.draws,
            tune=arguments.draws,
            chains=2,
            nuts_sampler="numpyro",
            initvals=start,
            random_seed=1,
            progressbar=False,
        )
    posterior = idata["posterior"]
    toward = np.exp(1j * posterior["direction"].values).mean(axis=(0, 1))
    names = [name_of(angle) for angle in np.angle(toward)]
    occupancy = pmj.state_occupancy(idata, "wind", model=model).mean(("chain", "draw"))
    for k, name in enumerate(names):
        own = {v: posterior[v].values[..., k] for v in ("concentration", "speed")}
        print(
            f"{name:11} {np.rad2deg(np.angle(toward[k])) % 360:4.0f}°, "
            f"concentration {own['concentration'].mean():.1f}, {own['speed'].mean():4.1f} knots, "
            f"{occupancy['fraction'].values[k]:.0%} of the time, "
            f"{3 * occupancy['mean_duration'].values[k]:.0f} hours a stay"
        )
    probs = pmj.decode_states(idata, "wind", model=model).mean(("chain", "draw")).values
    arguments.output.mkdir(exist_ok=True)
    file = arguments.output / "hmm_wind.png"
    draw(times, wind, idata, probs, names, file)
    print(f"The picture is {file}.")


if __name__ == "__main__":
    main()
