import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pymc_jaxdist.kernels.accurate_sum import accurate_sum


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 2, 31, 1000, 100_001])
def test_sum_is_rounded_once(dtype, count):
    terms = np.random.default_rng(count).normal(-1.4, 100.0, size=count).astype(dtype)
    exact = np.array(math.fsum(terms.astype(float)), dtype)
    actual = jax.jit(accurate_sum)(terms)
    assert actual.dtype == dtype
    assert abs(float(actual) - exact) <= np.spacing(abs(exact))


@pytest.mark.parametrize("count", [4, 500])
def test_what_large_terms_lose_is_found_again(count):
    rng = np.random.default_rng(count)
    large, small = rng.normal(0.0, 1e6, size=count), rng.normal(size=2 * count)
    terms = rng.permutation(np.concatenate([large, -large, small]))
    exact = math.fsum(terms)
    assert abs(float(jax.jit(accurate_sum)(terms)) - exact) <= np.spacing(abs(exact))


def test_infinite_terms():
    assert accurate_sum(jnp.array([1.0, -jnp.inf, 2.0])) == -jnp.inf
    assert jnp.isnan(accurate_sum(jnp.array([jnp.inf, -jnp.inf])))


def test_derivatives_and_batches():
    x = np.arange(12.0).reshape(4, 3)
    assert (jax.jacrev(accurate_sum)(x[:, 0]) == 1).all()
    assert (jax.jacfwd(accurate_sum)(x[:, 0]) == 1).all()
    assert (jax.vmap(accurate_sum, 1)(x) == x.sum(axis=0)).all()
