"""A curve and how sure we are of it: Bayesian regression with a neural network.

Noisy measurements of a curve, with a gap in the middle. A least-squares fit of a network gives one
curve and no warning where there were no data. Priors on the weights give all curves that agree
with the data: they lie close together where there are measurements, and part in the gap.

Run ``python examples/regression_bands.py``; it prints how well the chains agree and draws the
curve with its bands.
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from flax import linen as nn

import pymc_jaxdist as pmj


class Curve(nn.Module):
    """Twelve hidden units between one input and one output."""

    @nn.compact
    def __call__(self, x):
        """Return the height of the curve at each row."""
        x = jnp.tanh(nn.Dense(12, name="hidden")(x))
        return nn.Dense(1, name="head")(x)


def measurements(seed):
    """Return places and noisy heights of a wave, without any between 0 and 1."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.uniform(-2, 0, 35), rng.uniform(1, 2, 25)])
    return x[:, None], np.sin(3 * x) + 0.5 * x + 0.15 * rng.normal(size=60)


def build_model(x, y):
    """Return the model: wide slopes let the curve bend, a learned scale keeps it calm."""
    net = Curve()
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 2.0)
        prior = {"hidden.*": pm.Normal.dist(0.0, 3.0), "head.*": pmj.FanIn(scale)}
        weights = pmj.nn_priors("net", net, x, prior=prior)
        sigma = pm.HalfNormal("sigma", 0.5)
        pmj.NeuralNetObserved(
            "y",
            net,
            weights,
            x,
            likelihood=lambda out: pm.Normal.dist(out[..., 0], sigma),
            observed=y,
        )
    return model


def draw(x, y, grid, prediction, sigma, path):
    """Draw the data, the mean curve, and bands for the curve and for new measurements."""
    curves = prediction["y"].values[..., 0].reshape(-1, len(grid))
    rng = np.random.default_rng(0)
    new = curves + sigma.reshape(-1, 1) * rng.normal(size=curves.shape)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for draws, color, label in (
        (new, "#cfe3f1", "90 % of new measurements"),
        (curves, "#6aaed6", "90 % for the curve"),
    ):
        axes.fill_between(grid, *np.quantile(draws, [0.05, 0.95], axis=0), color=color, label=label)
    axes.plot(grid, curves.mean(0), color="#08519c", label="mean curve")
    axes.plot(x[:, 0], y, "k.", markersize=4, label="measurements")
    axes.set(xlabel="x", ylabel="y")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    figure.savefig(path, dpi=150)


def main():
    """Fit the curve, check the chains, draw the bands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=300, help="draws per chain, also for tuning")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("regression_bands.png"))
    arguments = parser.parse_args()

    x, y = measurements(arguments.seed)
    model = build_model(x, y)
    with model:
        idata = pm.sample(
            arguments.draws,
            tune=arguments.draws,
            chains=2,
            nuts_sampler="numpyro",
            nuts_sampler_kwargs={"chain_method": "vectorized"},
            random_seed=arguments.seed,
            progressbar=False,
            compute_convergence_checks=False,
        )
    grid = np.linspace(-2.5, 2.5, 200)
    prediction = pmj.predict(idata, "y", X=grid[:, None], model=model)
    inside = (grid > x.min()) & (grid < x.max())
    r_hat, ess = prediction["r_hat"].values[inside], prediction["ess"].values[inside]
    print(
        f"Curve between the outermost measurements: largest R-hat {r_hat.max():.2f}, "
        f"smallest effective sample size {ess.min():.0f}"
    )
    curves = prediction["y"].values[..., 0].reshape(-1, len(grid))
    width = np.diff(np.quantile(curves, [0.05, 0.95], axis=0), axis=0)[0]
    for place in (-1.0, 0.5, 1.5):
        print(f"Width of the 90 % band at x = {place:4.1f}: {np.interp(place, grid, width):.2f}")
    sigma = idata["posterior"]["sigma"].values
    print(f"Noise: {sigma.mean():.2f} (true value 0.15)")
    draw(x, y, grid, prediction, sigma, arguments.output)
    print(f"The curve is drawn in {arguments.output}")


if __name__ == "__main__":
    main()
