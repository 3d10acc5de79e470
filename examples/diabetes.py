"""Progression of diabetes from ten measurements: does a network predict better than a line.

The 442 patients of Efron et al. (2004). A straight line and a small network with a hierarchical
prior on the importance of each measurement, compared by leave-one-out cross-validation, which
needs the log-likelihood of each patient.

Run ``python examples/diabetes.py``; it prints the comparison and draws predictions against
observations.
"""

import argparse
from pathlib import Path

import arviz as az
import equinox as eqx
import jax
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from sklearn.datasets import load_diabetes

import pymc_jaxdist as pmj


def patients():
    """Return standardised measurements and outcome, and the names of the measurements."""
    data = load_diabetes()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    return x, (data.target - data.target.mean()) / data.target.std(), data.feature_names


def build_model(net, x, y, names):
    """Return a model in which each measurement has an importance of its own."""
    width = pmj.describe(net, x)["shape"].iloc[0][0]
    coords = {"measurement": names, "unit": range(width), "patient": range(len(y))}
    with pm.Model(coords=coords) as model:
        importance = pm.HalfNormal("importance", 0.5, dims="measurement")
        prior = {"layers.0.weight": pm.Normal.dist(0.0, importance), "*": pmj.FanIn()}
        dims = {"layers.0.weight": ("unit", "measurement")}
        weights = pmj.nn_priors("net", net, x, prior=prior, dims=dims)
        sigma = pm.HalfNormal("sigma", 1.0)
        pmj.NeuralNetObserved(
            "y",
            net,
            weights,
            x,
            likelihood=lambda out: pm.StudentT.dist(nu=10.0, mu=out[..., 0], sigma=sigma),
            observed=y,
            dims="patient",
        )
    return model


def fit(model, draws, seed):
    """Sample, and add the log-likelihood of each patient."""
    with model:
        idata = pm.sample(
            draws,
            tune=draws,
            chains=2,
            nuts_sampler="numpyro",
            nuts_sampler_kwargs={"chain_method": "vectorized"},
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
        )
        pm.compute_log_likelihood(idata, progressbar=False)
    return idata


def main():
    """Compare a line and a network, and draw the predictions of the better one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=400, help="draws per chain, also for tuning")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("diabetes.png"))
    arguments = parser.parse_args()

    x, y, names = patients()
    key = jax.random.key(arguments.seed)
    nets = {
        "line": eqx.nn.MLP(10, 1, 1, 0, key=key),
        "network": eqx.nn.MLP(10, 1, 6, 1, activation=jax.nn.tanh, key=key),
    }
    print(pmj.describe(nets["network"], x))
    scores, predictions = {}, {}
    for name, net in nets.items():
        model = build_model(net, x, y, names)
        idata = fit(model, arguments.draws, arguments.seed)
        loo = az.loo(idata)
        score = float(loo.elpd_loo if hasattr(loo, "elpd_loo") else loo.elpd)
        predictions[name] = pmj.predict(idata, "y", model=model)
        scores[name] = score
        print(
            f"{name:8s} expected log predictive density {score:8.1f} (leave-one-out),"
            f" largest R-hat of a prediction {float(predictions[name]['r_hat'].max()):.2f}"
        )
        importance = idata["posterior"]["importance"].mean(("chain", "draw")).values
        order = np.argsort(-importance)
        print(" " * 9 + "most important: " + ", ".join(names[i] for i in order[:4]))

    best = max(scores, key=scores.get)
    draws = predictions[best]["y"].values[..., 0].reshape(-1, len(y))
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.vlines(y, low, high, color="#9ecae1", linewidth=0.8)
    axes.plot(y, draws.mean(0), ".", color="#08519c", markersize=3)
    limits = [y.min(), y.max()]
    axes.plot(limits, limits, "k--", linewidth=0.8)
    axes.set(xlabel="observed progression", ylabel=f"predicted by the {best}, with 90 % intervals")
    figure.savefig(arguments.output, dpi=150)
    print(f"Predictions are drawn in {arguments.output}")


if __name__ == "__main__":
    main()
