"""The posterior of posteriordb's hidden Markov model against its reference draws."""

import numpy as np
import pymc as pm
import pytest
from pymc.distributions.transforms import Chain, log, ordered

from pymc_jaxdist import MarginalHMM
from pymc_jaxdist.datasets import load_hmm_example
from tests.statistical.monte_carlo import effective_sample_size

EXAMPLE = load_hmm_example()
REFERENCE_DRAWS = 10_000  # thinned until independent, as posteriordb demands


def sample():
    """Sample the posterior: draws (chain, draw) by the names of posteriordb."""
    with pm.Model():
        mu = pm.Normal("mu", [3.0, 10.0], 1.0, transform=Chain([log, ordered]), initval=[3.0, 10.0])
        theta = pm.Dirichlet("theta", np.ones((2, 2)))
        # An initial log-probability of 0 for each state: uniform but for a constant.
        MarginalHMM("y", pm.Normal.dist(mu, 1.0), theta, "uniform", observed=EXAMPLE.y)
        idata = pm.sample(
            2500,
            tune=500,
            chains=4,
            nuts_sampler="numpyro",
            nuts_sampler_kwargs={"chain_method": "vectorized"},
            random_seed=1,
            progressbar=False,
        )
    draws = idata["posterior"]
    return {
        **{f"mu[{k + 1}]": draws["mu"].values[..., k] for k in range(2)},
        **{
            f"theta{i + 1}[{j + 1}]": draws["theta"].values[..., i, j]
            for i in range(2)
            for j in range(2)
        },
    }


def largest_difference(posterior):
    """Return the largest difference of a posterior mean from the published, in standard errors."""
    apart = []
    for name, reference in EXAMPLE.published["parameters"].items():
        draws = posterior[name]
        size = effective_sample_size(draws)
        error = reference["sd"] * np.sqrt(1 / size + 1 / REFERENCE_DRAWS)
        apart.append(abs(draws.mean() - reference["mean"]) / error)
    return max(apart)


@pytest.fixture(scope="module")
def posterior():
    return sample()


# PyMC 5 donates the draws' buffers to their transformation. JAX says that it cannot reuse those of
# a two-state Dirichlet, which has one unconstrained and two constrained numbers a row.
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLE.published["parameters"])
def test_agrees_with_the_reference_posterior(posterior, name):
    reference = EXAMPLE.published["parameters"][name]
    draws = posterior[name]
    size = effective_sample_size(draws)
    assert size > 3000
    standard_error = reference["sd"] * np.sqrt(1 / size + 1 / REFERENCE_DRAWS)
    assert abs(draws.mean() - reference["mean"]) < 4 * standard_error
    assert draws.std() / reference["sd"] == pytest.approx(1, abs=0.05)
    for name, probability in {"q05": 0.05, "median": 0.5, "q95": 0.95}.items():
        share = (draws < reference[name]).mean()
        error = np.sqrt(probability * (1 - probability) * (1 / size + 1 / REFERENCE_DRAWS))
        assert abs(share - probability) < 5 * error, name
