"""Twelve patients: a one-compartment model with oral dose and parameters of each patient's own.

    python examples/ode_theophylline.py

All patients are solved side by side. Elimination is slower than absorption by construction, which
excludes the mirror image of the solution ("flip-flop"). Prints the population parameters beside the
published estimates.
"""

import jax.numpy as jnp
import numpy as np
import pymc as pm

import pymc_jaxdist as pmj
from pymc_jaxdist.datasets import load_theophylline


def one_compartment(t, y, p):
    """Return the rates of change of the amount in the gut and in the body."""
    gut, body = y
    return jnp.stack([-p["ka"] * gut, p["ka"] * gut - p["ke"] * body])


def build_model(data):
    """Return the hierarchical model on the log scale; amounts are per kg of weight."""
    n_patients = len(data.dose)
    with pm.Model(coords={"patient": np.arange(n_patients)}) as model:
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
            atol=1e-6,
        )
    return model


def main():
    """Fit and compare."""
    data = load_theophylline()
    with build_model(data):
        idata = pm.sample(
            300, tune=400, chains=2, nuts_sampler="numpyro", random_seed=1, progressbar=False
        )
    print(f"{'':6}{'mean':>8}{'sd':>8}   published")
    for name in ("lKe", "lKa", "lCl"):
        draws = idata["posterior"][name].values
        print(f"{name:6}{draws.mean():8.3f}{draws.std():8.3f}   {data.published[name]:.2f}")


if __name__ == "__main__":
    main()
