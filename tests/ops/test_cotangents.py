"""Which cotangents are seen to be one number repeated."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.ops.cotangents import uniform_cotangent

x = pt.dvector("x")
s = pt.dscalar("s")

UNIFORM = {
    "a fill": (pt.full_like(x, 2.0), 2.0),
    "an allocation": (pt.alloc(s, x.shape[0]), 3.0),
    "a scaled fill": (2.0 * pt.ones_like(x), 2.0),
    "arithmetic of fills": (pt.full_like(x, s) / pt.full_like(x, 2.0), 1.5),
    "a constant": (pt.constant(np.full(4, 7.0)), 7.0),
    "a single unit": (pt.expand_dims(s, 0), 3.0),
    "the gradient of a sum": (pt.grad(x.sum(), x), 1.0),
    "the gradient of a scaled sum": (pt.grad(s * x.sum() / 2, x), 1.5),
    "the gradient of a function of a sum": (pt.grad(pt.sqr(x.sum()), x), 20.0),
    "the gradient of the mean": (pt.grad(x.mean(), x), 0.25),
}
DIFFERENT = {
    "a variable": x,
    "a weighted fill": x * pt.ones_like(x),
    "a constant with two values": pt.constant(np.array([1.0, 2.0])),
    "the gradient of a logsumexp": pt.grad(pt.logsumexp(x), x),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform(name):
    cotangent, expected = UNIFORM[name]
    scalar = uniform_cotangent(cotangent)
    assert scalar is not None
    assert scalar.ndim == 0
    function = pytensor.function([x, s], scalar, on_unused_input="ignore", mode="FAST_COMPILE")
    assert_allclose(function(np.array([1.0, 2.0, 3.0, 4.0]), 3.0), expected)


@pytest.mark.parametrize("name", DIFFERENT)
def test_not_seen_to_be_uniform(name):
    assert uniform_cotangent(DIFFERENT[name]) is None
