"""PyMC distributions whose log-densities are JAX kernels."""

from pymc_jaxdist.distributions.hidden_markov import MarginalHMM
from pymc_jaxdist.distributions.hmm_logp import hmm_logp
from pymc_jaxdist.distributions.long_table import pad_observations
from pymc_jaxdist.distributions.ode import ODEObserved, ode_solution
from pymc_jaxdist.distributions.ode_events import Doses, Jumps
from pymc_jaxdist.kernels.ode.interpolation import interpolated
from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4

__all__ = [
    "RK4",
    "Doses",
    "Jumps",
    "LinearODE",
    "MarginalHMM",
    "ODEObserved",
    "hmm_logp",
    "interpolated",
    "ode_solution",
    "pad_observations",
]
