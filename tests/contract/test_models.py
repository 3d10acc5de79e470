"""What PyMC and ArviZ do with every distribution in a model."""

import copy
import pickle

import cloudpickle
import numpy as np
import pymc as pm
import pytest
from numpy.testing import assert_allclose

from tests.contract import graphs, models
from tests.contract.registry import ENTRIES, KERNELS
from tests.distributions.compiled import interpreted
from tests.slow_cases import slow_except

every_entry = pytest.mark.parametrize("name", ENTRIES)
DISTRIBUTIONS = [name for name, entry in ENTRIES.items() if entry.is_distribution]
COPIES = {
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "cloudpickle": lambda x: cloudpickle.loads(cloudpickle.dumps(x)),
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(autouse=True, scope="module")
def interpreted_mode():
    with interpreted():
        yield


@every_entry
@pytest.mark.parametrize("kind", COPIES)
def test_a_copied_op_is_the_same_op(name, kind):
    op = models.log_density_op(models.model(name))
    copied = COPIES[kind](op)
    assert copied == op
    assert hash(copied) == hash(op)


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "cloudpickle") for name in ENTRIES), ("MarginalHMM", "deepcopy")],
)
def test_a_copied_model_has_the_same_density(name, kind):
    model = models.model(name)
    copied = COPIES[kind](model)
    point = model.initial_point()
    assert_allclose(models.log_densities(copied)(point), models.log_densities(model)(point))


@every_entry
def test_a_model_that_is_built_again_has_the_same_op(name):
    again = models.log_density_op(models.build(name))
    assert again == models.log_density_op(models.model(name))


@every_entry
def test_data_can_be_exchanged(name):
    model = models.build(name)
    logp = models.log_densities(model)
    point = model.initial_point()
    whole = np.array(logp(point))
    fewer = {"data": graphs.observed(name)[1:]}
    if "x" in model:
        fewer["x"] = model["x"].get_value()[1:]
    with model:
        pm.set_data(fewer)
    if whole.ndim:
        assert_allclose(logp(point), whole[1:], rtol=1e-13)
    else:  # a Potential is one number
        fresh = models.build(name, slice(1, None))
        assert_allclose(logp(point), models.log_densities(fresh)(point), rtol=1e-13)


@pytest.mark.parametrize("name", slow_except(DISTRIBUTIONS, *set(KERNELS) & set(DISTRIBUTIONS)))
def test_arviz_gets_one_log_likelihood_a_unit_and_predictions(name):
    model, entry = models.model(name), ENTRIES[name]
    quiet = {"progressbar": False, "random_seed": 1}
    with model:
        idata = pm.sample(
            5,
            tune=5,
            chains=2,
            cores=1,
            step=pm.Metropolis(),
            compute_convergence_checks=False,
            **quiet,
        )
        pm.compute_log_likelihood(idata, progressbar=False)
        predictive = pm.sample_posterior_predictive(idata, var_names=["y"], **quiet)
    pointwise = idata["log_likelihood"]["y"]
    assert pointwise.dims[:3] == ("chain", "draw", "unit")
    assert pointwise.shape[:3] == (2, 5, graphs.N_UNITS)
    draw = idata["posterior"][entry.moved].values[1, 3]
    parameters = dict(zip(entry.parameters, graphs.arguments(name, "shared"), strict=True))
    expected = graphs.log_density(name, "shared")(
        graphs.observed(name), *(parameters | {entry.moved: draw}).values()
    )[0]
    found = pointwise.values[1, 3].reshape(graphs.N_UNITS, -1).sum(axis=1)
    assert_allclose(found, expected, rtol=1e-12)
    predicted = predictive["posterior_predictive"]["y"]
    assert predicted.shape == (2, 5, graphs.N_UNITS, *entry.unit_shape)
    free = predicted.values[..., entry.conditioned :] if entry.unit_shape else predicted.values
    assert np.isfinite(free).all()
    assert len(np.unique(free)) > 5
