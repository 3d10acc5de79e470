"""Handwritten digits, and a network that knows when it does not know.

A convolutional network for the 8 x 8 digits that come with scikit-learn, in three versions: trained
once; Bayesian in its last layer only, on the trained features, by NUTS; Bayesian in all weights, by
mean-field variational inference that starts at the trained ones. Only few images are used for
training, so that some doubt remains. Accuracy and calibration are those of images not seen.

Run ``python examples/digits.py``; it prints accuracy, calibration error and log score, and draws
the calibration curves.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pymc as pm
from flax import linen as nn
from sklearn.datasets import load_digits

import pymc_jaxdist as pmj

N_TRAIN = 300


class Digits(nn.Module):
    """Two convolutions, then ten logits."""

    @nn.compact
    def __call__(self, x):
        """Return logits ``(N, 10)`` of images ``(N, 8, 8, 1)``."""
        x = nn.relu(nn.Conv(6, (3, 3), strides=2, name="first")(x))
        x = nn.relu(nn.Conv(12, (3, 3), strides=2, name="second")(x))
        return nn.Dense(10, name="head")(x.reshape(len(x), -1))


def images(seed):
    """Return training and test images with their labels."""
    data = load_digits()
    x = (data.images / 16.0)[..., None]
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[:N_TRAIN], order[N_TRAIN:]
    return x[train], data.target[train], x[test], data.target[test]


def train(net, x, y, seed, steps=600):
    """Minimise the cross-entropy with Adam."""
    params = net.init(jax.random.key(seed), x[:2])["params"]
    optimizer = optax.adam(1e-2)

    def loss(params):
        logits = net.apply({"params": params}, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    start = (params, optimizer.init(params))
    (params, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, length=steps))(start)
    return params


def build_model(net, x, y, params, prior):
    """Return a classification model whose weights start at trained ones."""
    with pm.Model() as model:
        weights = pmj.nn_priors("net", net, x, prior=prior, start=params)
        pmj.NeuralNetObserved(
            "label",
            net,
            weights,
            x,
            likelihood=lambda out: pm.Categorical.dist(logit_p=out),
            observed=y,
        )
    return model


def mean_probabilities(idata, model, x):
    """Average class probabilities over posterior draws."""
    logits = pmj.predict(idata, "label", X=x, model=model)["label"].values
    return np.asarray(jax.nn.softmax(jnp.asarray(logits), axis=-1)).mean((0, 1))


def calibration(probs, labels, n_bins=10):
    """Return confidence and accuracy in bins of equal size, and the expected calibration error."""
    confidence, correct = probs.max(-1), probs.argmax(-1) == labels
    bins = np.array_split(np.argsort(confidence), n_bins)
    said = np.array([confidence[b].mean() for b in bins])
    true = np.array([correct[b].mean() for b in bins])
    return said, true, float(np.mean(np.abs(said - true)))


def main():
    """Train, infer twice, and compare on images not seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200, help="posterior draws per chain")
    parser.add_argument("--steps", type=int, default=4000, help="steps of variational inference")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("digits.png"))
    arguments = parser.parse_args()

    x, y, x_test, y_test = images(arguments.seed)
    net = Digits()
    params = train(net, x, y, arguments.seed)
    trained = nn.softmax(net.apply({"params": params}, x_test))
    probs = {"trained once": np.asarray(trained)}

    last_layer = {"head.*": pm.Normal.dist(0.0, 1.0), "*": pmj.Frozen()}
    model = build_model(net, x, y, params, last_layer)
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
    probs["last layer, NUTS"] = mean_probabilities(idata, model, x_test)

    model = build_model(net, x, y, params, pmj.FanIn(2.0))
    with model:
        # Wide approximations of many weights never find back to the data: start narrow.
        narrow = {rv.name: np.full(int(rv.size.eval()), 0.02) for rv in model.free_RVs}
        approximation = pm.fit(
            arguments.steps,
            method="advi",
            start_sigma=narrow,
            obj_optimizer=pm.adam(learning_rate=0.01),
            random_seed=arguments.seed,
            progressbar=False,
        )
        idata = approximation.sample(200, random_seed=arguments.seed)
    probs["all weights, variational"] = mean_probabilities(idata, model, x_test)

    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], "k--", linewidth=0.8)
    print(f"{N_TRAIN} images to learn from, {len(y_test)} to be tested on")
    print(f"{'':26s}{'accuracy':>9s}{'calibration error':>19s}{'log score':>11s}")
    for name, p in probs.items():
        said, true, error = calibration(p, y_test)
        log_score = float(np.log(p[np.arange(len(y_test)), y_test]).mean())
        accuracy = (p.argmax(-1) == y_test).mean()
        print(f"{name:26s}{accuracy:9.3f}{error:19.3f}{log_score:11.3f}")
        axes.plot(said, true, "o-", markersize=4, label=f"{name} ({error:.3f})")
    axes.set(
        xlabel="probability of the predicted digit",
        ylabel="how often it was right",
        xlim=(0.3, 1.01),
        ylim=(0.3, 1.01),
    )
    axes.legend(frameon=False, title="calibration error")
    figure.savefig(arguments.output, dpi=150)
    print(f"Calibration curves are drawn in {arguments.output}")


if __name__ == "__main__":
    main()
