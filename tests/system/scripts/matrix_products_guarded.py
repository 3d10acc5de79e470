"""Sample in two processes a density that multiplies matrices on the threads of XLA."""

import sys
import time

import jax.numpy as jnp
import numpy as np
import pymc as pm

from pymc_jaxdist.ops import log_density

MATRIX = np.random.default_rng(1).normal(size=(600, 600)) / 600


def normal_with_a_detour(matrix, x):
    """Standard Normal; XLA computes products of products on its threads, not a single one."""
    product = (matrix + x[0]) @ matrix
    return -0.5 * jnp.sum(x**2) + 1e-30 * jnp.sum(product @ product)


def main(**arguments):
    with pm.Model() as model:
        x = pm.Flat("x", shape=2, initval=np.zeros(2))
        pm.Potential("density", log_density(normal_with_a_detour, MATRIX, x, batch_ndim=0))
    model.compile_logp()(model.initial_point())
    print("JAX has run here")
    start = time.monotonic()
    try:
        with model:
            idata = pm.sample(
                10,
                tune=10,
                chains=2,
                cores=2,
                nuts_sampler="pymc",
                random_seed=1,
                progressbar=False,
                **arguments,
            )
    finally:
        print(f"after {time.monotonic() - start:.1f} s")
    assert np.isfinite(idata["posterior"]["x"].values).all()
    print("sampled")


if __name__ == "__main__":
    main(**dict(argument.split("=") for argument in sys.argv[1:]))
