"""Sample chains in parallel with NumPyro after the model has been evaluated by PyTensor.

NumPyro warns, and runs the chains one after another, if JAX was started with one device. Every
warning is an error here but those passed as arguments. Writes the draws to a file.
"""

import sys
import warnings

import numpy as np
import pymc as pm

from tests.system.small_model import small_model


def main():
    path, *ignored = sys.argv[1:]
    warnings.simplefilter("error")
    for message in ignored:
        warnings.filterwarnings("ignore", message=message)
    model = small_model()
    model.compile_logp(mode="FAST_COMPILE")(model.initial_point())
    with model:
        idata = pm.sample(
            1000,
            tune=500,
            chains=2,
            nuts_sampler="numpyro",
            nuts_sampler_kwargs={"chain_method": "parallel"},
            random_seed=1,
            progressbar=False,
        )
    assert not idata["sample_stats"]["diverging"].values.any()
    np.savez(path, **{name: idata["posterior"][name].values for name in MEANS})


MEANS = ("mu", "sigma", "transitions")

if __name__ == "__main__":
    main()
