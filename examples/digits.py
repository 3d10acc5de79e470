"""Handwritten digits, and a network that knows when it does not know.

A convolutional network for the 8 x 8 digits that come with scikit-learn, in three versions: trained
once; Bayesian in its last layer only, on the trained features; Bayesian in all weights, with scales
of the priors that are learned. Only few images are used for training, so that some doubt remains.
Accuracy and calibration are those of images not seen.

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
from pymc.sampling.jax import sample_numpyro_nuts
from sklearn.datasets import load_digits

import pymc_jaxdist as pmj
from pymc_jaxdist.posterior.convergence import r_hat

N_TRAIN = 300


class Digits(nn.Module):
    """Two convolutions, then ten logits."""

    @nn.compact
    def __call__(self, x):
        """Return logits ``(N, 10)`` of images ``(N, 8, 8, 1)``."""
        x = nn.tanh(nn.Conv(4, (3, 3), strides=2, name="first")(x))
        x = nn.tanh(nn.Conv(8, (3, 3), strides=2, name="second")(x))
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


def last_layer_model(net, x, y, params):
    """Return a model of the last layer on trained features; the size of its weights is learned."""
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 2.0)
        prior = {"head.*": pm.Normal.dist(0.0, scale), "*": pmj.Frozen()}
        observe(net, pmj.nn_priors("net", net, x, prior=prior, start=params), x, y)
    return model


def all_weights_model(net, x, y, params):
    """Return a model of all weights; how large they are in each layer is learned."""
    with pm.Model(coords={"layer": ["first", "second", "head"]}) as model:
        scale = pm.HalfNormal("scale", 2.0, dims="layer")
        prior = {
            "first.kernel": pm.Normal.dist(0.0, scale[0]),
            "second.kernel": pm.Normal.dist(0.0, scale[1]),
            "head.kernel": pm.Normal.dist(0.0, scale[2]),
            "*.bias": pm.Normal.dist(0.0, 1.0),
        }
        observe(net, pmj.nn_priors("net", net, x, prior=prior, start=params), x, y)
    return model


def observe(net, weights, x, y):
    """Add the labels to the model in context."""
    pmj.NeuralNetObserved(
        "label",
        net,
        weights,
        x,
        likelihood=lambda out: pm.Categorical.dist(logit_p=out),
        observed=y,
    )


def sample(model, draws, seed):
    """Sample two chains with trees of at most 63 steps, which is what so many weights can use."""
    with model:
        return sample_numpyro_nuts(
            draws=draws,
            tune=draws,
            chains=2,
            chain_method="vectorized",
            nuts_kwargs={"max_tree_depth": 6},
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
        )


def predict(idata, model, x):
    """Return class probabilities averaged over draws, and how well the chains agree on them.

    R-hat of the logits themselves would be of little use: a constant added to all ten of an image
    changes no probability.
    """
    logits = pmj.predict(idata, "label", X=x, model=model)["label"].values
    probs = np.asarray(jax.nn.softmax(jnp.asarray(logits), axis=-1))
    return probs.mean((0, 1)), float(np.quantile(r_hat(probs), 0.95))


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
    parser.add_argument("--draws", type=int, default=100, help="posterior draws per chain")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("digits.png"))
    arguments = parser.parse_args()

    x, y, x_test, y_test = images(arguments.seed)
    net = Digits()
    params = train(net, x, y, arguments.seed)
    trained = nn.softmax(net.apply({"params": params}, x_test))
    probs = {"trained once": np.asarray(trained)}

    for name, build in (("last layer", last_layer_model), ("all weights", all_weights_model)):
        model = build(net, x, y, params)
        idata = sample(model, arguments.draws, arguments.seed)
        probs[name], largest = predict(idata, model, x_test)
        n = sum(int(rv.size.eval()) for rv in model.free_RVs)
        print(f"{name}: {n} numbers, 95 % of R-hats of probabilities are below {largest:.2f}")

    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], "k--", linewidth=0.8)
    print(f"{N_TRAIN} images to learn from, {len(y_test)} to be tested on")
    print(f"{'':14s}{'accuracy':>9s}{'calibration error':>19s}{'log score':>11s}")
    for name, p in probs.items():
        said, true, error = calibration(p, y_test)
        log_score = float(np.log(p[np.arange(len(y_test)), y_test]).mean())
        accuracy = (p.argmax(-1) == y_test).mean()
        print(f"{name:14s}{accuracy:9.3f}{error:19.3f}{log_score:11.3f}")
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
