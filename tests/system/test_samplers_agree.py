"""Every sampler that PyMC can call finds the same posterior, without a warning."""

import numpy as np
import pymc as pm
import pytest

from tests.statistical.monte_carlo import standard_errors_apart
from tests.system.run_script import run_script
from tests.system.small_model import small_model

PARAMETERS = ("mu", "sigma", "transitions")

# PyMC 5 donates the draws' buffers to their transformation, and JAX says which it cannot reuse.
DONATED = "Some donated buffers were not usable"
# PyMC 6 has another spelling, which PyMC 5 does not know.
DEPRECATED = ".nuts_sampler_kwargs. is deprecated"

SAMPLERS = {
    "pymc": {"nuts_sampler": "pymc", "cores": 1},
    "nutpie with numba": {"nuts_sampler": "nutpie", "nuts_sampler_kwargs": {"backend": "numba"}},
    "nutpie with jax": {"nuts_sampler": "nutpie", "nuts_sampler_kwargs": {"backend": "jax"}},
    "numpyro": {"nuts_sampler": "numpyro", "nuts_sampler_kwargs": {"chain_method": "vectorized"}},
    # "parallel" fails in PyMC itself with JAX >= 0.10, for any model
    "blackjax": {"nuts_sampler": "blackjax", "nuts_sampler_kwargs": {"chain_method": "vectorized"}},
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(f"ignore:{DONATED}:UserWarning"),
    # the same change of spelling in PyMC 6
    pytest.mark.filterwarnings("ignore:.backend. should be passed as a top-level:FutureWarning"),
]


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Draws of NumPyro's parallel chains, which need a process in which JAX has not started."""
    path = tmp_path_factory.mktemp("draws") / "draws.npz"
    done = run_script("numpyro_parallel.py", path, DONATED, DEPRECATED, timeout=300)
    assert done.returncode == 0, done.stderr
    with np.load(path) as draws:
        return dict(draws)


def test_parallel_chains_of_numpyro_after_the_model_was_evaluated(reference):
    """A warning, of too few devices for example, would have ended the script."""
    for draws in reference.values():
        assert draws.shape[:2] == (2, 1000)
        assert np.isfinite(draws).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_agrees(model, reference, sampler):
    with model:
        idata = pm.sample(
            1000, tune=500, chains=2, random_seed=2, progressbar=False, **SAMPLERS[sampler]
        )
    assert not idata["sample_stats"]["diverging"].values.any()
    for name in PARAMETERS:
        draws = idata["posterior"][name].values
        assert draws.shape[:2] == (2, 1000)
        assert np.isfinite(draws).all()
        apart = standard_errors_apart(draws, reference[name])
        assert np.abs(apart).max() < 5, f"{name}: {apart}"
        assert draws.std(axis=(0, 1)) == pytest.approx(reference[name].std(axis=(0, 1)), rel=0.2)
