"""Parallel chains of a model made of functions that are defined in the script itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm

import pymc_jaxdist as pmj

X = np.linspace(-1, 1, 12)[:, None]
SCALE = 2.0


@pmj.jax_function
def curve(params, x):
    return SCALE * jnp.tanh(x[:, 0] * params["slope"])


def network(params, x):
    return jnp.tanh(x @ params["hidden"]) @ params["head"]


def build():
    def density(y, mu):
        return jax.scipy.stats.norm.logpdf(y, mu, SCALE)

    with pm.Model() as model:
        slope = pm.Normal("slope")
        pm.Normal("a", curve({"slope": slope}, X), 1.0, observed=np.zeros(12))
        pmj.JaxDist("b", density, slope, observed=np.ones(12))
        start = {"hidden": np.ones((1, 2)), "head": np.ones(2)}
        weights = pmj.nn_priors("net", network, X, start=start)
        pmj.NeuralNetObserved(
            "c",
            network,
            weights,
            X,
            likelihood=lambda out: pm.Normal.dist(out, 1.0),
            observed=np.zeros(12),
        )
    return model


if __name__ == "__main__":
    with build():
        idata = pm.sample(
            20,
            tune=20,
            chains=2,
            cores=2,
            nuts_sampler="pymc",
            progressbar=False,
            random_seed=1,
            compute_convergence_checks=False,
        )
    draws = idata["posterior"]["net.hidden"].values
    assert draws.shape == (2, 20, 1, 2)
    assert np.isfinite(draws).all()
    assert not np.allclose(draws[0], draws[1])
    print("finished")
