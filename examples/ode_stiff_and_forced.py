"""Two equations that make trouble elsewhere: a stiff reaction, and a pond fed by rain.

    python examples/ode_stiff_and_forced.py

Robertson's reaction has rates nine orders of magnitude apart; the solver notices that it is stiff.
The pond's inflow is measured once a day and interpolated, and a pump takes a third of the water out
at two known times. Both are simulated and fitted.
"""

import jax.numpy as jnp
import numpy as np
import pymc as pm

import pymc_jaxdist as pmj


def robertson(t, y, rates):
    """Return the rates of change of three substances."""
    slow, back, fast = rates[0] * y[0], rates[1] * y[1] * y[2], rates[2] * y[1] ** 2
    return jnp.stack([-slow + back, slow - back - fast, fast])


def stiff_model(observed=None):
    """Return a model of the first and third substance."""
    with pm.Model() as model:
        log_rates = pm.Normal("log_rates", np.log([0.04, 1e4, 3e7]), 0.3, shape=3)
        pmj.ODEObserved(
            "y",
            robertson,
            params=pm.math.exp(log_rates),
            y0=[1.0, 0.0, 0.0],
            times=10 ** np.linspace(-1, 4, 12),
            observe=[0, 2],
            likelihood=lambda y: pm.Normal.dist(y, 0.02),
            observed=observed,
        )
    return model


def pond(t, water, p):
    """Return the rate of change of the water: rain less what seeps away."""
    return p["rain"](t) - p["seepage"] * water


def forced_model(observed=None):
    """Return a model of the water in a pond over a month."""
    days = np.arange(31.0)
    rain = np.random.default_rng(1).gamma(0.3, 3.0, size=31)
    with pm.Model() as model:
        seepage = pm.LogNormal("seepage", np.log(0.1), 0.5)
        pmj.ODEObserved(
            "water",
            pond,
            params={"seepage": seepage, "rain": pmj.interpolated(days, rain)},
            y0=[5.0],
            times=days[1:],
            observe=0,
            likelihood=lambda water: pm.Normal.dist(water, 0.3),
            events=pmj.Jumps([10.0, 20.0], lambda water, p: water * 2 / 3),
            observed=observed,
        )
    return model


def main():
    """Simulate from each model, and fit it."""
    for name, build, parameter in [
        ("Robertson's reaction", stiff_model, "log_rates"),
        ("The pond", forced_model, "seepage"),
    ]:
        generative = build()
        truth = pm.draw([generative[parameter], generative.basic_RVs[-1]], random_seed=3)
        model = build(observed=truth[1])
        print(f"\n{name}\n{pmj.check_ode(model, draws=50, random_seed=1)}")
        with model:
            idata = pm.sample(
                200, tune=300, chains=2, nuts_sampler="numpyro", random_seed=1, progressbar=False
            )
        draws = idata["posterior"][parameter].values
        print(f"{parameter}: {draws.mean((0, 1))} (sd {draws.std((0, 1))}), truth {truth[0]}")


if __name__ == "__main__":
    main()
