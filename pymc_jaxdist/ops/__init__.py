"""PyTensor Ops around JAX kernels. Knows nothing of PyMC."""

# Imported for what they register: the removal of dead gradients.
from pymc_jaxdist.ops import jax_op_rewrites, rewrites
from pymc_jaxdist.ops.backend import choose_settings
from pymc_jaxdist.ops.impossible_evaluations import impossible_evaluations
from pymc_jaxdist.ops.inner_graph import InnerGraph
from pymc_jaxdist.ops.jax_op import JaxFunction
from pymc_jaxdist.ops.log_density import LogDensity, log_density
from pymc_jaxdist.ops.wrapped_function import jax_function

__all__ = [
    "InnerGraph",
    "JaxFunction",
    "LogDensity",
    "impossible_evaluations",
    "jax_function",
    "jax_op_rewrites",
    "log_density",
    "rewrites",
]

# Not with the first log-density: users, and models that are being built, use JAX before it.
choose_settings()
