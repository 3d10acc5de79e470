"""A Normal log-density that counts its traces, its evaluations and its backward passes."""

from collections import Counter
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

counts: Counter = Counter()


def count(event: str) -> None:
    jax.debug.callback(lambda: counts.update([event]))


@jax.custom_vjp
def count_backward(x):
    return x


count_backward.defvjp(
    lambda x: (x, None),
    lambda _, g: (count("backward"), g)[1:],
)


@dataclass(frozen=True)
class CountingNormal:
    """Rows ``y[n]`` of independent Normal(mu, exp(log_sigma)) values."""

    label: str = ""

    def __call__(self, y, mu, log_sigma):
        counts["trace"] += 1
        count("forward")
        z = (y - mu) / jnp.exp(log_sigma)
        return count_backward(jnp.sum(-0.5 * z**2 - log_sigma, axis=-1))


def reference(y, mu, log_sigma):
    """Log-density of each row and its gradients with respect to mu and log_sigma."""
    z = (y - mu) / np.exp(log_sigma)
    value = (-0.5 * z**2 - log_sigma).sum(-1)
    return value, (z / np.exp(log_sigma)).sum(-1), (z**2 - 1).sum(-1)


def reference_hessian(y, mu, log_sigma):
    """Hessian of the log-density of each row, shape (N, 2, 2)."""
    z = (y - mu) / np.exp(log_sigma)
    sigma = np.exp(log_sigma)
    mu_mu = -np.full(len(y), y.shape[1] / sigma**2)
    mu_sigma = (-2 * z / sigma).sum(-1)
    sigma_sigma = (-2 * z**2).sum(-1)
    return np.stack([np.stack([mu_mu, mu_sigma], -1), np.stack([mu_sigma, sigma_sigma], -1)], -2)
