"""PyTensor Ops around JAX kernels. Knows nothing of PyMC."""

# Imported for what they register: JAX, Numba and vectorisation; the removal of dead gradients.
from pymc_jaxdist.ops import dispatch, rewrites
from pymc_jaxdist.ops.impossible_evaluations import impossible_evaluations
from pymc_jaxdist.ops.inner_graph import InnerGraph
from pymc_jaxdist.ops.log_density import LogDensity, log_density

__all__ = [
    "InnerGraph",
    "LogDensity",
    "dispatch",
    "impossible_evaluations",
    "log_density",
    "rewrites",
]
