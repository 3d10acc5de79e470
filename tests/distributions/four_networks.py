"""The same perceptron four times: Flax linen, Flax nnx, Equinox, a plain function."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

N_INPUTS, N_HIDDEN = 2, 3


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Dense(N_HIDDEN, name="hidden")(x))
        return nn.Dense(1, name="head")(x)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(N_INPUTS, N_HIDDEN, rngs=rngs)
        self.head = nnx.Linear(N_HIDDEN, 1, rngs=rngs)

    def __call__(self, x):
        return self.head(jnp.tanh(self.hidden(x)))


class Equinox(eqx.Module):
    hidden: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.hidden = eqx.nn.Linear(N_INPUTS, N_HIDDEN, key=first)
        self.head = eqx.nn.Linear(N_HIDDEN, 1, key=second)

    def __call__(self, x):
        return self.head(jnp.tanh(self.hidden(x)))


def plain(params, x):
    hidden = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return hidden @ params["head"]["kernel"] + params["head"]["bias"]


PLAIN_START = {
    "hidden": {"kernel": np.full((N_INPUTS, N_HIDDEN), 0.1), "bias": np.zeros(N_HIDDEN)},
    "head": {"kernel": np.full((N_HIDDEN, 1), 0.1), "bias": np.zeros(1)},
}

#: For each: the network, the weights a plain function must be told, and whether kernels are
#: transposed.
NETWORKS = {
    "linen": lambda: (Linen(), None, False),
    "nnx": lambda: (Nnx(nnx.Rngs(0)), None, False),
    "equinox": lambda: (Equinox(jax.random.key(0)), None, True),
    "plain": lambda: (plain, PLAIN_START, False),
}


def as_layers(weights, transposed):
    """Return ``[(kernel, bias), ...]`` from weights by dotted path."""
    kernel = "weight" if transposed else "kernel"
    layers = []
    for layer in ("hidden", "head"):
        values = np.asarray(weights[f"{layer}.{kernel}"])
        layers.append((values.T if transposed else values, np.asarray(weights[f"{layer}.bias"])))
    return layers
