"""Relabelled states are the same states in every draw."""

import arviz as az
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError


def posterior():
    rng = np.random.default_rng(0)
    mu = np.sort(rng.normal(size=(2, 6, 3)), axis=-1)
    matrix = rng.dirichlet(np.ones(3), size=(2, 6, 3))
    return xr.Dataset(
        {
            "mu": (("chain", "draw", "state"), mu),
            "P": (("chain", "draw", "state", "to"), matrix),
            "tau": (("chain", "draw"), rng.normal(size=(2, 6))),
        },
        coords={"state": ["a", "b", "c"], "chain": [0, 1], "draw": np.arange(6)},
    )


def shuffled(dataset):
    """Call the states by other numbers in each draw."""
    rng = np.random.default_rng(1)
    mu, matrix = dataset["mu"].values.copy(), dataset["P"].values.copy()
    for index in np.ndindex(mu.shape[:2]):
        order = rng.permutation(3)
        mu[index] = mu[index][order]
        matrix[index] = matrix[index][np.ix_(order, order)]
    return dataset.assign(mu=dataset["mu"].copy(data=mu), P=dataset["P"].copy(data=matrix))


def groups(dataset, kind):
    if kind == "dict":
        return {"posterior": dataset}
    if az.__version__.startswith("0."):
        return az.InferenceData(posterior=dataset)
    return xr.DataTree.from_dict({"posterior": dataset})


@pytest.mark.parametrize("kind", ["dict", "ArviZ"])
def test_states_are_put_back_in_order(kind):
    original = posterior()
    mixed = groups(shuffled(original), kind)
    before = mixed["posterior"]["mu"].values.copy()
    found = pmj.relabel_states(mixed, "mu", dims=["state", "to"])
    assert type(found) is type(mixed)
    for name in original.data_vars:
        assert_array_equal(found["posterior"][name].values, original[name].values)
    assert list(found["posterior"]["mu"].coords["state"].values) == ["a", "b", "c"]
    assert_array_equal(mixed["posterior"]["mu"].values, before)


def test_by_default_only_the_dimension_of_the_variable_is_sorted():
    original = posterior().drop_vars("P")
    mixed = {"posterior": shuffled(posterior()).drop_vars("P")}
    found = pmj.relabel_states(mixed, "mu")
    assert_array_equal(found["posterior"]["mu"].values, original["mu"].values)


@pytest.mark.parametrize(
    ("by", "dims", "message"),
    [
        ("nu", None, "no such variable[\\s\\S]*'mu', 'P', 'tau'"),
        ("mu", ["state", "draw"], "'draw' of length 6[\\s\\S]*'state', 'to'"),
        ("mu", "elsewhere", "'elsewhere' of length None"),
        ("P", None, "no dimension but the states"),
    ],
)
def test_bad_arguments(by, dims, message):
    with pytest.raises(ParameterError, match=message):
        pmj.relabel_states({"posterior": posterior()}, by, dims=dims)
