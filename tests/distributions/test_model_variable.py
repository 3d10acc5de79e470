"""The one class of all random variables of the package."""

import pickle

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pymc.distributions.shape_utils import change_dist_size
from pytensor.graph.replace import graph_replace

import pymc_jaxdist as pmj
from pymc_jaxdist.distributions.model_variable import ModelVariable, model_of

MATRIX = np.array([[0.9, 0.1], [0.2, 0.8]])


def chain(mean, **kwargs):
    emission = pm.Normal.dist(pt.stack([mean, mean + 5.0]), 0.01)
    return pmj.MarginalHMM.dist(emission, MATRIX, [1.0, 0.0], **kwargs)


def test_distributions_share_the_class_and_keep_their_names():
    variable, other = chain(0.0, shape=(4,)), pmj.JaxDist.dist(lambda y, mu: -((y - mu) ** 2), 1.0)
    assert type(variable.owner.op) is type(other.owner.op) is ModelVariable
    assert variable.owner.op._print_name[0] == "MarginalHMM"
    with pytest.raises(NotImplementedError, match="MarginalHMM"):
        pm.logcdf(variable, np.zeros(4))


def test_variables_are_not_equal_unless_their_densities_are():
    """The density does not follow from how values are drawn."""

    def draw(mu, size=None, rng=None):
        return rng.normal(mu, size=size)

    narrow = pmj.JaxDist.dist(lambda y, mu: -((y - mu) ** 2), 1.0, random=draw)
    wide = pmj.JaxDist.dist(lambda y, mu: -((y - mu) ** 2) / 9, 1.0, random=draw)
    assert narrow.owner.op != wide.owner.op
    assert narrow.owner.op == narrow.owner.op


def test_another_size_has_the_parameters_of_now():
    mean = pt.dscalar()
    moved = graph_replace(chain(mean, shape=(3,)), {mean: pt.constant(100.0, dtype="float64")})
    larger = change_dist_size(moved, (2,))
    assert larger.owner.op.model is moved.owner.op.model
    drawn = pm.draw(larger, random_seed=1)
    assert drawn.shape == (2, 3)
    assert (drawn > 90).all()
    assert pm.draw(change_dist_size(moved, (2,), expand=True)).shape == (2, 3)


def test_pickled_variables_have_a_density():
    variable = pickle.loads(pickle.dumps(chain(1.0, shape=(4,))))
    value = np.array([1.0, 6.0, 1.0, 1.0])
    expected = pm.logp(chain(1.0, shape=(4,)), value).eval()
    assert pm.logp(variable, value).eval() == pytest.approx(expected, rel=1e-14)


def test_other_variables_have_no_model():
    assert model_of(pm.Normal.dist()) is None
    assert model_of(pt.dscalar()) is None
