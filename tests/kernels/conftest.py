"""Settings of the kernel tests: float64, and no silent broadcasting or mixing of types."""

import jax
import pytest

from pymc_jaxdist.ops.backend import prepare_backend

# As for a model: JAX 0.10 compiles loops in one piece then, and the tests a fifth more quickly.
prepare_backend()
jax.config.update("jax_enable_x64", True)


@pytest.fixture(autouse=True)
def strict_jax():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield
