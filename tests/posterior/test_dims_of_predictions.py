"""A prediction names its dimensions as the model does, wherever they mean the same."""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj

TIMES = np.arange(1.0, 5.0)
COORDS = {"patient": ["a", "b", "c"], "hour": TIMES, "assay": ["parent", "metabolite"]}
POSTERIOR = {"posterior": xr.Dataset({"rate": (("chain", "draw", "i"), np.ones((1, 2, 3)))})}


def both(y):
    return pm.Normal.dist(y["drug"], 1.0), pm.Normal.dist(y["product"], 1.0)


@lru_cache
def model_of(likelihood=both, dims=("patient", "hour", "assay"), observe=None):
    """Return a model of three patients with a drug and its product."""
    with pm.Model(coords=COORDS) as model:
        pmj.ODEObserved(
            "y",
            lambda t, y, p: {"drug": -p * y["drug"], "product": p * y["drug"]},
            params=pm.HalfNormal("rate", shape=3),
            y0={"drug": np.ones(3), "product": np.zeros(3)},
            times=TIMES,
            observe=observe,
            likelihood=likelihood,
            observed=np.ones((3, 4, 2)) if dims is None else np.ones((3, 4, 2)[: len(dims)]),
            dims=dims,
            solver="tsit5",
        )
    return model


def predict(model, **changes):
    return pmj.predict(POSTERIOR, "y", model=model, **changes)


def test_subjects_and_channels_have_the_names_of_the_model():
    found = predict(model_of(), times=[0.0, 0.5])
    assert found["y"].dims == ("chain", "draw", "patient", "time", "assay")
    assert found["y_solution"].dims == ("chain", "draw", "patient", "time", "state")
    assert found["state"].values.tolist() == ["drug", "product"]
    assert found["patient"].values.tolist() == COORDS["patient"]
    assert found["assay"].values.tolist() == COORDS["assay"]
    one = found["y_solution"].sel(patient="b", state="drug", time=0.5, chain=0, draw=0)
    assert_allclose(one, np.exp(-0.5), rtol=1e-5)


def test_other_subjects_do_not_have_the_labels_of_those_of_the_model():
    new = {"drug": np.ones(3), "product": np.zeros(3)}
    found = predict(model_of(), y0=new)
    assert found["y"].dims == ("chain", "draw", "patient", "time", "assay")
    assert "patient" not in found.coords


def test_times_of_single_subjects_are_a_coordinate():
    times = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, np.nan]])
    found = predict(model_of(), times=times)
    assert found["times"].dims == ("patient", "time")
    assert "time" not in found.coords
    assert_allclose(found["times"], times)


@pytest.mark.parametrize(
    ("observe", "states"),
    [
        (("product", "drug"), ["product", "drug"]),
        (lambda t, y, p: {"all": y["drug"] + y["product"], "t": t}, ["all", "t"]),
    ],
)
def test_what_is_observed_keeps_its_names(observe, states):
    def likelihood(y):
        return pm.Normal.dist(y["all"] if isinstance(y, dict) else y[..., 0], 1.0)

    found = predict(model_of(likelihood, ("patient", "hour"), observe))
    assert found["state"].values.tolist() == states


def test_what_has_no_name_has_that_of_the_variable():
    found = predict(
        model_of(
            lambda y: pm.Normal.dist(y, 1.0),
            None,
            lambda t, y, p: jnp.stack([y["drug"], y["product"]]),
        )
    )
    assert found["y"].dims == ("chain", "draw", "y_dim_0", "time", "y_dim_2")
    assert found["y_solution"].dims[2:] == ("y_dim_0", "time", "y_solution_dim_2")
