"""Many short sequences with three states: truth recovered, and two samplers that agree."""

import numpy as np
import pymc as pm
import pytest

from pymc_jaxdist import MarginalHMM
from tests.statistical.monte_carlo import standard_errors_apart

# The fixture samples for all tests below, and so for the first of them.
pytestmark = [
    pytest.mark.slow,
    # PyMC 5 donates buffers which JAX cannot reuse; nothing is lost.
    pytest.mark.filterwarnings("ignore:Some donated buffers were not usable:UserWarning"),
]

N_SEQUENCES, N_TIMES = 70, 51
TRUTH = {
    "signal": np.array(1.15),
    "noise": np.array(0.15),
    "initial": np.array([0.9, 0.09, 0.01]),
    "transitions": np.array([[0.9, 0.09, 0.01], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]]),
}
SAMPLERS = {
    "pymc": {"draws": 700, "tune": 500, "cores": 2, "nuts_sampler": "pymc", "init": "adapt_diag"},
    "numpyro": {
        "draws": 1000,
        "tune": 500,
        "nuts_sampler": "numpyro",
        "nuts_sampler_kwargs": {"chain_method": "sequential", "jitter": False},
    },
}


def simulate():
    """Draw states one after another with NumPy: the package's own draws are what is tested."""
    rng = np.random.default_rng(7)
    states = np.empty((N_SEQUENCES, N_TIMES), dtype=int)
    for sequence in states:
        sequence[0] = rng.choice(3, p=TRUTH["initial"])
        for t in range(1, N_TIMES):
            sequence[t] = rng.choice(3, p=TRUTH["transitions"][sequence[t - 1]])
    return rng.normal((states + 1) * TRUTH["signal"], TRUTH["noise"])


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        # Warming up is short from here; without it states would change places first.
        signal = pm.HalfNormal("signal", 2.0, initval=1.0)
        noise = pm.HalfNormal("noise", 1.0, initval=0.3)
        initial = pm.Dirichlet("initial", np.ones(3))
        transitions = pm.Dirichlet("transitions", np.ones((3, 3)))
        emission = pm.Normal.dist(np.arange(1, 4) * signal, noise)
        MarginalHMM("y", emission, transitions, initial, observed=simulate())
    return model


@pytest.fixture(scope="module")
def posteriors(model):
    found = {}
    for name, arguments in SAMPLERS.items():
        with model:
            idata = pm.sample(chains=2, random_seed=3, progressbar=False, **arguments)
        assert not idata["sample_stats"]["diverging"].values.any()
        found[name] = {key: idata["posterior"][key].values for key in TRUTH}
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("parameter", TRUTH)
def test_posterior_covers_the_truth(posteriors, sampler, parameter):
    draws = posteriors[sampler][parameter]
    truth = TRUTH[parameter]
    low, high = np.quantile(draws, [0.0025, 0.9975], axis=(0, 1))
    assert (low < truth).all()
    assert (truth < high).all()
    # 3570 observations say something: an interval that covers everything would prove nothing
    assert (high - low < 0.4).all()


@pytest.mark.parametrize("parameter", TRUTH)
def test_samplers_agree(posteriors, parameter):
    apart = standard_errors_apart(*(posteriors[name][parameter] for name in SAMPLERS))
    assert np.abs(apart).max() < 4.5
