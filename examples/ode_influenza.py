"""An epidemic: the SIR equations fitted to pupils in bed with influenza, 1978.

    python examples/ode_influenza.py

Counts have a negative binomial distribution around the number of infected. Prints the posterior
beside the published one.
"""

import pymc as pm

import pymc_jaxdist as pmj
from pymc_jaxdist.datasets import load_influenza_1978


def sir(t, y, p):
    """Return the rates of change of susceptible, infected and recovered."""
    caught = p["beta"] * y["susceptible"] * y["infected"] / p["population"]
    cured = p["gamma"] * y["infected"]
    return {"susceptible": -caught, "infected": caught - cured, "recovered": cured}


def build_model(flu):
    """Return the model of the published analysis."""
    with pm.Model(coords={"day": flu.day}) as model:
        beta = pm.TruncatedNormal("beta", mu=2, sigma=1, lower=0)
        gamma = pm.TruncatedNormal("gamma", mu=0.4, sigma=0.5, lower=0)
        dispersion = pm.Exponential("inverse_dispersion", 5)
        pm.Deterministic("R0", beta / gamma)
        pm.Deterministic("recovery_time", 1 / gamma)
        susceptible, infected, recovered = flu.y0.astype(float)
        pmj.ODEObserved(
            "in_bed",
            sir,
            params={"beta": beta, "gamma": gamma, "population": flu.population},
            y0={"susceptible": susceptible, "infected": infected, "recovered": recovered},
            times=flu.day.astype(float),
            observe="infected",
            likelihood=lambda infected: pm.NegativeBinomial.dist(mu=infected, alpha=1 / dispersion),
            observed=flu.in_bed,
            dims="day",
        )
    return model


def main():
    """Fit and compare."""
    flu = load_influenza_1978()
    model = build_model(flu)
    with model:
        idata = pm.sample(
            500, tune=500, chains=2, nuts_sampler="numpyro", random_seed=1, progressbar=False
        )
    print(f"{'':15}{'mean':>8}{'sd':>8}   published")
    for name in ("beta", "gamma", "R0", "recovery_time"):
        draws = idata["posterior"][name].values
        mean, sd = flu.published[name]
        print(f"{name:15}{draws.mean():8.3f}{draws.std():8.3f}   {mean:.3f} ({sd:.3f})")


if __name__ == "__main__":
    main()
