"""Results as groups beside the posterior, on both generations of ArviZ."""

import arviz as az
import pytest
import xarray as xr

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError


def arviz_object(idata):
    if az.__version__.startswith("0."):
        return az.InferenceData(posterior=idata["posterior"])
    return xr.DataTree.from_dict({"posterior": idata["posterior"]})


@pytest.mark.parametrize("convert", [arviz_object, dict], ids=["ArviZ", "dict"])
def test_results_are_stored_with_dims_and_coords(model, idata, convert):
    found = convert(idata)
    states = pmj.decode_states(found, "y", model=model)
    paths = pmj.decode_states(found, "y", "viterbi", model=model)
    assert pmj.add_group(found, "states", states) is found
    pmj.add_group(found, "states", paths)
    group = found["states"]
    assert group["y_smoothed_probs"].dims == ("chain", "draw", "site", "day", "state")
    assert group["y_smoothed_probs"].coords["site"].values.tolist() == ["a", "b"]
    assert group["y_viterbi_path"].coords["log_prob"].dims == ("chain", "draw", "site")
    pmj.add_group(found, "states", states * 0)
    assert (group["y_viterbi_path"] == paths).all()
    assert found["states"]["y_smoothed_probs"].max() == 0
    pmj.add_group(found, "forecast", pmj.forecast(found, "y", 2, model=model, random_seed=1))
    assert set(found["forecast"].data_vars) == {"state_probs", "path", "y"}
    assert "P" in found["posterior"]


def test_groups_survive_a_file(model, idata, tmp_path):
    found = arviz_object(idata)
    pmj.add_group(found, "states", pmj.decode_states(found, "y", model=model))
    pytest.importorskip("h5netcdf", reason="what writes netCDF is not a dependency")
    found.to_netcdf(str(tmp_path / "draws.nc"), engine="h5netcdf")
    with xr.open_dataset(tmp_path / "draws.nc", group="states", engine="h5netcdf") as stored:
        assert stored["y_smoothed_probs"].shape == (2, 5, 2, 4, 2)


def test_groups_of_pymc_are_refused(idata):
    with pytest.raises(ParameterError, match="'posterior'"):
        pmj.add_group(dict(idata), "posterior", idata["posterior"])
