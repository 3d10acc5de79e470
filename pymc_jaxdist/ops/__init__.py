"""PyTensor Ops around JAX kernels. Knows nothing of PyMC."""

from pymc_jaxdist.ops import dispatch as _dispatch  # registers JAX, Numba and vectorisation
from pymc_jaxdist.ops import rewrites as _rewrites  # registers the removal of dead gradients
from pymc_jaxdist.ops.inner_graph import InnerGraph
from pymc_jaxdist.ops.log_density import LogDensity, log_density

__all__ = ["InnerGraph", "LogDensity", "log_density"]
