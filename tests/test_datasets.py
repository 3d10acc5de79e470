"""The data sets are complete, typed as documented, and agree with what is published on them."""

from importlib.resources import files

import numpy as np
import pytest
from scipy.stats import norm, poisson

from pymc_jaxdist import datasets

LOADERS = [getattr(datasets, name) for name in datasets.__all__ if name.startswith("load_")]

SHAPES = {
    "load_earthquakes": {"year": (107,), "count": (107,)},
    "load_fedfunds": {"year": (226,), "rate": (226,)},
    "load_hmm_example": {"y": (100,)},
    "load_hudson_lynx_hare": {"year": (21,), "pelts": (21, 2)},
    "load_influenza_1978": {"day": (14,), "in_bed": (14,), "y0": (3,)},
    "load_theophylline": {
        "time": (12, 11),
        "concentration": (12, 11),
        "dose": (12,),
        "weight": (12,),
    },
}


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request):
    return request.param


def test_every_file_has_a_loader():
    stems = {
        entry.name.removesuffix(".json")
        for entry in files("pymc_jaxdist").joinpath("data").iterdir()
        if entry.name.endswith(".json")
    }
    assert stems == {loader.__name__.removeprefix("load_") for loader in LOADERS}


def test_arrays_have_the_documented_shapes_and_are_finite(loader):
    data = vars(loader())
    arrays = {name: value for name, value in data.items() if isinstance(value, np.ndarray)}
    assert {name: array.shape for name, array in arrays.items()} == SHAPES[loader.__name__]
    for array in arrays.values():
        assert array.dtype in (np.dtype("int64"), np.dtype("float64"))
        assert np.isfinite(array).all()


def test_description_source_and_published_values_are_there(loader):
    data = loader()
    assert data.description
    assert data.source
    assert data.published


def test_fields_cannot_be_replaced_and_loads_share_nothing(loader):
    first, second = loader(), loader()
    with pytest.raises(AttributeError):
        first.source = "elsewhere"
    for name, value in vars(first).items():
        if isinstance(value, np.ndarray):
            assert not np.shares_memory(value, getattr(second, name))


def test_earthquakes_with_one_state_is_a_poisson_sample():
    quakes = datasets.load_earthquakes()
    log_likelihood = poisson(quakes.count.mean()).logpmf(quakes.count).sum()
    assert -log_likelihood == pytest.approx(quakes.published["minus_log_lik"]["1"], abs=5e-5)


def test_fedfunds_ends_with_2010():
    assert datasets.load_fedfunds().year[-1] == 2010.75


def test_hmm_example_means_are_the_means_of_its_two_groups():
    data = datasets.load_hmm_example()
    low = norm(3, 1).logpdf(data.y) > norm(9, 1).logpdf(data.y)
    means = [data.published["parameters"][f"mu[{k}]"]["mean"] for k in (1, 2)]
    np.testing.assert_allclose([data.y[low].mean(), data.y[~low].mean()], means, atol=0.15)


def test_influenza_population_is_the_sum_of_its_compartments():
    flu = datasets.load_influenza_1978()
    assert flu.population == flu.y0.sum()


def test_theophylline_times_increase_within_each_subject():
    assert (np.diff(datasets.load_theophylline().time, axis=1) > 0).all()
