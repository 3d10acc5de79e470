"""Neural networks as parts of other models: a neural ODE, and an HMM with covariates.

A network need not stand in front of the observations. `nn_priors` makes its weights variables of
the model, and `jax_function` puts the network, called on them, anywhere: here in the vector field
of a differential equation, of which only the friction is unknown, and in the transition
probabilities of a hidden Markov model, which depend on a covariate.

Run ``python examples/networks_inside_models.py``; it prints what was learned.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
from flax import linen as nn

import pymc_jaxdist as pmj

SAMPLER = {
    "nuts_sampler": "numpyro",
    "nuts_sampler_kwargs": {"chain_method": "vectorized"},
    "chains": 1,
    "tune": 150,
    "draws": 150,
    "random_seed": 1,
    "progressbar": False,
    "compute_convergence_checks": False,
}


class Friction(nn.Module):
    """The unknown force as a function of speed."""

    @nn.compact
    def __call__(self, x):
        """Return forces ``(N, 1)`` at speeds ``(N, 1)``."""
        return nn.Dense(1, use_bias=False, name="head")(jnp.tanh(nn.Dense(4, name="hidden")(x)))


TIMES = np.linspace(0.0, 6.0, 31)
FRICTION = Friction()


def pendulum(force, start):
    """Solve y'' = -y + force(y')."""

    def field(t, state, args):
        position, speed = state
        return jnp.stack([speed, -position + force(speed)])

    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        t0=0.0,
        t1=TIMES[-1],
        dt0=0.2,
        y0=start,
        saveat=diffrax.SaveAt(ts=TIMES),
        stepsize_controller=diffrax.ConstantStepSize(),
    ).ys[:, 0]


@pmj.jax_function
def learned_pendulum(params, start):
    """Solve the equation with a network in the place of the force."""
    return pendulum(lambda v: FRICTION.apply({"params": params}, v[None, None])[0, 0], start)


def neural_ode():
    """Learn the force of friction from a swinging pendulum."""
    start = np.array([2.0, 0.0])
    rng = np.random.default_rng(0)
    true = np.asarray(pendulum(lambda v: -0.3 * v * jnp.abs(v), jnp.asarray(start)))
    speeds = np.array([[-1.5], [-0.8], [0.0], [0.8], [1.5]])
    with pm.Model():
        weights = pmj.nn_priors("friction", FRICTION, speeds)
        sigma = pm.HalfNormal("sigma", 0.2)
        position = learned_pendulum(weights.tree, start)
        pm.Normal("y", position, sigma, observed=true + 0.05 * rng.normal(size=31))
        force = pmj.jax_function(lambda params, v: FRICTION.apply({"params": params}, v)[:, 0])
        pm.Deterministic("force", force(weights.tree, speeds))
        idata = pm.sample(**SAMPLER)
    draws = idata["posterior"]["force"]
    print("Neural ODE: force of friction at a speed, learned and true")
    for v, mean, sd in zip(
        speeds[:, 0],
        draws.mean(("chain", "draw")).values,
        draws.std(("chain", "draw")).values,
        strict=True,
    ):
        print(f"  {v:5.1f}   {mean:6.2f} ± {sd:.2f}   {-0.3 * v * abs(v):6.2f}")


class Switching(nn.Module):
    """Logits of the transitions as a function of a covariate."""

    @nn.compact
    def __call__(self, x):
        """Return logits ``(T, 2)`` of leaving each of two states."""
        return nn.Dense(2, name="head")(jnp.tanh(nn.Dense(4, name="hidden")(x)))


def hidden_markov_with_covariates():
    """Learn how temperature changes the chance of switching between two states."""
    rng = np.random.default_rng(0)
    temperature = rng.uniform(-1, 1, size=(249, 1))
    leave = np.where(np.abs(temperature) > 0.5, 0.5, 0.05)
    state = np.zeros(250, dtype=int)
    for t in range(249):
        state[t + 1] = state[t] ^ (rng.uniform() < leave[t, 0])
    y = rng.normal(2.0 * state, 0.5)
    net = Switching()
    switching = pmj.jax_function(lambda params, x: jax.nn.sigmoid(net.apply({"params": params}, x)))
    grid = np.array([[-0.9], [-0.3], [0.3], [0.9]])
    with pm.Model():
        weights = pmj.nn_priors(
            "net",
            net,
            temperature,
            prior={"hidden.*": pm.Normal.dist(0.0, 3.0), "head.*": pmj.FanIn(2.0)},
        )
        mean = pm.Normal("mean", [0.0, 2.0], 0.5, shape=2)
        leaving = switching(weights.tree, temperature)
        matrix = pm.math.stack(
            [
                pm.math.stack([1 - leaving[:, 0], leaving[:, 0]], axis=-1),
                pm.math.stack([leaving[:, 1], 1 - leaving[:, 1]], axis=-1),
            ],
            axis=-2,
        )
        pmj.MarginalHMM("y", pm.Normal.dist(mean, 0.5), matrix, [0.5, 0.5], observed=y)
        pm.Deterministic("leaving", switching(weights.tree, grid).mean(-1))
        idata = pm.sample(**SAMPLER)
    draws = idata["posterior"]["leaving"].mean(("chain", "draw")).values
    print("Hidden Markov model: probability of leaving a state at a temperature, learned and true")
    for x, probability in zip(grid[:, 0], draws, strict=True):
        print(f"  {x:5.1f}   {probability:5.2f}   {0.5 if abs(x) > 0.5 else 0.05:5.2f}")


def main():
    """Fit both models."""
    neural_ode()
    hidden_markov_with_covariates()


if __name__ == "__main__":
    main()
