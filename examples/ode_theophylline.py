"""Twelve patients: a one-compartment model with oral dose and parameters of each patient's own.

    python examples/ode_theophylline.py --output theophylline.png

All patients are solved side by side. Elimination is slower than absorption by construction, which
excludes the mirror image of the solution ("flip-flop"). Prints the population parameters beside the
published estimates, and draws a panel for each patient.
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pymc as pm

import pymc_jaxdist as pmj
from pymc_jaxdist.datasets import load_theophylline
from pymc_jaxdist.plots import plot_solution


def one_compartment(t, y, p):
    """Return the rates of change of the amount in the gut and in the body."""
    gut, body = y
    return jnp.stack([-p["ka"] * gut, p["ka"] * gut - p["ke"] * body])


def build_model(data):
    """Return the hierarchical model on the log scale; amounts are per kg of weight."""
    n_patients = len(data.dose)
    coords = {"patient": np.arange(1, n_patients + 1), "sample": np.arange(data.time.shape[1])}
    with pm.Model(coords=coords) as model:
        lke = pm.Normal("lKe", -2.5, 0.5)
        lka = pm.Normal("lKa", 0.5, 0.5)
        lcl = pm.Normal("lCl", -3.2, 0.5)
        between = pm.HalfNormal("between", 0.5, shape=2)
        z = pm.Normal("z", shape=(2, n_patients))
        ka = pm.math.exp(lka + between[0] * z[0])
        clearance = pm.math.exp(lcl + between[1] * z[1])
        ke = pm.math.exp(lke)
        sigma = pm.HalfNormal("sigma", 1)
        volume = clearance / ke
        pmj.ODEObserved(
            "concentration",
            one_compartment,
            params={"ka": ka, "ke": ke},
            y0=np.stack([data.dose, np.zeros(n_patients)], axis=-1),
            times=data.time,
            observe=1,
            likelihood=lambda body: pm.Normal.dist(body / volume[:, None], sigma),
            observed=data.concentration,
            dims=("patient", "sample"),
            atol=1e-6,
        )
    return model


def main():
    """Fit, compare and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("theophylline.png"))
    arguments = parser.parse_args()
    data = load_theophylline()
    model = build_model(data)
    with model:
        idata = pm.sample(
            300, tune=400, chains=2, nuts_sampler="numpyro", random_seed=1, progressbar=False
        )
    print(f"{'':6}{'mean':>8}{'sd':>8}   published")
    for name in ("lKe", "lKa", "lCl"):
        draws = idata["posterior"][name].values
        print(f"{name:6}{draws.mean():8.3f}{draws.std():8.3f}   {data.published[name]:.2f}")

    # Drawn observations: the noise is part of what the next measurement may be.
    predicted = pmj.predict(
        idata, "concentration", times=np.linspace(0, 25, 51), model=model, random_seed=1
    )
    figure, _ = plot_solution(
        predicted["concentration"],
        observed=data.concentration,
        observed_times=data.time,
        xlabel="hours",
        ylabel="mg / L",
    )
    figure.savefig(arguments.output, dpi=150)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
