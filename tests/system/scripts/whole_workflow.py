"""What most people do with a model, one thing after another, with Python's usual warnings."""

import arviz as az
import numpy as np
import pymc as pm

from pymc_jaxdist import decode_states
from tests.system.small_model import small_model


def main():
    model = small_model(n_sequences=30, n_times=20)
    with model:
        prior = pm.sample_prior_predictive(50, random_seed=1)
        idata = pm.sample(
            500,
            tune=500,
            chains=4,
            cores=2,
            nuts_sampler="pymc",
            random_seed=1,
            progressbar=False,
        )
        # PyMC 5 wants var_names: without them it samples "y" twice
        predicted = pm.sample_posterior_predictive(
            idata.sel(draw=slice(0, 50)), var_names=["y"], random_seed=1, progressbar=False
        )
        pm.compute_log_likelihood(idata, progressbar=False)
    az.loo(idata)
    az.summary(idata)
    decode_states(idata, "y", kind="smoothed", model=model)
    assert prior["prior_predictive"]["y"].shape[-2:] == (30, 20)
    assert predicted["posterior_predictive"]["y"].shape[-2:] == (30, 20)
    assert idata["log_likelihood"]["y"].shape == (4, 500, 30)
    assert np.isfinite(idata["log_likelihood"]["y"].values).all()
    print("done")


if __name__ == "__main__":
    main()
