"""Neural networks as parts of other models: a neural ODE, and an HMM with covariates.

A network need not stand in front of the observations. `nn_priors` makes its weights variables of
the model. Here they are parameters of a differential equation, of which the friction is unknown;
and `jax_function` puts a network into the transition probabilities of a hidden Markov model, which
depend on a covariate.

Run ``python examples/networks_inside_models.py``; it prints how well both were learned, also where
there were no data, and draws them.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from flax import linen as nn

import pymc_jaxdist as pmj

SAMPLER = {
    "nuts_sampler": "numpyro",
    "nuts_sampler_kwargs": {"chain_method": "vectorized"},
    "chains": 2,
    "tune": 200,
    "random_seed": 1,
    "progressbar": False,
    "compute_convergence_checks": False,
}


class Friction(nn.Module):
    """The unknown force as a function of speed."""

    @nn.compact
    def __call__(self, x):
        """Return forces ``(..., 1)`` at speeds ``(..., 1)``."""
        return nn.Dense(1, name="head")(jnp.tanh(nn.Dense(5, name="hidden")(x)))


FRICTION = Friction()
NOISE = 0.05


def true_friction(speed):
    """Air resists with the square of the speed."""
    return -0.3 * speed * abs(speed)


def oscillator(t, state, force):
    """Return the rates of change of position and speed under a spring and a force."""
    position, speed = state
    return jnp.stack([speed, -position + force(speed)])


def with_network(t, state, params):
    """Return the same with a network in the place of the force."""
    return oscillator(t, state, lambda v: FRICTION.apply({"params": params}, v[None])[0])


def solve(starts, times):
    """Return the true positions ``(N, T)``."""
    return pmj.ode_solution(
        lambda t, state, _: oscillator(t, state, true_friction),
        params=None,
        y0=starts,
        times=times,
        observe=0,
    ).eval()


def neural_ode(draws, axes):
    """Learn the force of friction from three swings; predict how they go on."""
    rng = np.random.default_rng(0)
    starts = np.array([[2.0, 0.0], [0.0, 2.5], [-1.0, -1.0]])
    times, later = np.linspace(0.25, 5.0, 20), np.linspace(0.0, 7.5, 31)
    observed = solve(starts, times) + NOISE * rng.normal(size=(3, 20))
    with pm.Model() as model:
        prior = {"hidden.*": pm.Normal.dist(0.0, 1.5), "head.*": pmj.FanIn(2.0)}
        weights = pmj.nn_priors("friction", FRICTION, np.zeros((1, 1)), prior=prior)
        sigma = pm.HalfNormal("sigma", 0.2)
        pmj.ODEObserved(
            "position",
            with_network,
            # A leading dimension of 1: shared by the three subjects.
            params=jax.tree.map(lambda weight: weight[None], weights.tree),
            y0=starts,
            times=times,
            observe=0,
            likelihood=lambda position: pm.Normal.dist(position, sigma),
            observed=observed,
            solver=pmj.RK4(step_size=0.25),
            sensitivity="reverse",
            max_steps=40,
        )
        speeds = np.linspace(-2.5, 2.5, 41)[:, None]
        force = pmj.jax_function(lambda params, v: FRICTION.apply({"params": params}, v)[:, 0])
        pm.Deterministic("force", force(weights.tree, speeds))
        idata = pm.sample(draws=draws, **SAMPLER)

    predicted = pmj.predict(idata, "position", times=later, observations=False, model=model)
    bands = predicted["position_solution"]
    mean, low, high = (summary(bands) for summary in SUMMARIES)
    truth = solve(starts, later)
    inside = later <= times[-1]
    fit = np.stack([np.interp(times, later, position) for position in mean])
    print("Neural ODE, root mean square errors of the position")
    print(f"  of the data, noise {NOISE}:        {rms(fit - observed):.3f}")
    print(f"  of the truth, while observed:  {rms(mean[:, inside] - truth[:, inside]):.3f}")
    print(f"  of the truth, afterwards:      {rms(mean[:, ~inside] - truth[:, ~inside]):.3f}")
    forces = idata["posterior"]["force"]
    right = true_friction(speeds[:, 0])
    between = abs(speeds[:, 0]) < 1.5
    error = summary_mean(forces) - right
    print(f"  of the force at speeds to 1.5: {rms(error[between]):.3f}")

    for i in range(3):
        axes[0].fill_between(later, low[i], high[i], alpha=0.3, color=f"C{i}")
        axes[0].plot(later, truth[i], "k--", linewidth=0.8)
        axes[0].plot(times, observed[i], "o", markersize=3, color=f"C{i}")
    axes[0].axvline(times[-1], color="grey", linewidth=0.8)
    axes[0].set(xlabel="time", ylabel="position", title="Neural ODE: three swings")
    axes[1].fill_between(speeds[:, 0], *(f(forces) for f in SUMMARIES[1:]), alpha=0.3)
    axes[1].plot(speeds, right, "k--", linewidth=0.8)
    axes[1].set(xlabel="speed", ylabel="force", title="The friction it learned")


def summary_mean(draws):
    """Return the posterior mean."""
    return draws.mean(("chain", "draw")).values


SUMMARIES = (
    summary_mean,
    lambda draws: draws.quantile(0.05, ("chain", "draw")).values,
    lambda draws: draws.quantile(0.95, ("chain", "draw")).values,
)


def rms(x):
    """Return the root mean square."""
    return float(np.sqrt(np.mean(x**2)))


class Switching(nn.Module):
    """Logits of the transitions as a function of a covariate."""

    @nn.compact
    def __call__(self, x):
        """Return logits ``(T, 2)`` of leaving each of two states."""
        return nn.Dense(2, name="head")(jnp.tanh(nn.Dense(4, name="hidden")(x)))


def hidden_markov_with_covariates(draws, axes):
    """Learn how temperature changes the chance of switching between two states."""
    rng = np.random.default_rng(0)
    temperature = rng.uniform(-1, 1, size=(249, 1))
    leave = 0.05 + 0.5 * temperature**2
    state = np.zeros(250, dtype=int)
    for t in range(249):
        state[t + 1] = state[t] ^ (rng.uniform() < leave[t, 0])
    y = rng.normal(2.0 * state, 0.5)
    net = Switching()
    switching = pmj.jax_function(lambda params, x: jax.nn.sigmoid(net.apply({"params": params}, x)))
    grid = np.linspace(-1, 1, 41)[:, None]
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
        idata = pm.sample(draws=draws, **SAMPLER)
    leaving = idata["posterior"]["leaving"]
    mean, low, high = (summary(leaving) for summary in SUMMARIES)
    right = 0.05 + 0.5 * grid[:, 0] ** 2
    print("Hidden Markov model: probability of leaving a state at a temperature, learned and true")
    for i in range(2, 41, 9):
        print(f"  {grid[i, 0]:5.2f}   {mean[i]:5.2f}   {right[i]:5.2f}")
    axes.fill_between(grid[:, 0], low, high, alpha=0.3)
    axes.plot(grid, mean)
    axes.plot(grid, right, "k--", linewidth=0.8)
    axes.set(
        xlabel="temperature",
        ylabel="probability of leaving",
        ylim=(0, 1),
        title="HMM: transitions learned",
    )


def main():
    """Fit both models and draw what they learned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200, help="posterior draws per chain")
    parser.add_argument("--output", type=Path, default=Path("networks_inside_models.png"))
    arguments = parser.parse_args()
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    neural_ode(arguments.draws, axes[:2])
    hidden_markov_with_covariates(arguments.draws, axes[2])
    figure.savefig(arguments.output, dpi=150)
    print(f"Both are drawn in {arguments.output}")


if __name__ == "__main__":
    main()
