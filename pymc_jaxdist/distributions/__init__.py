"""PyMC distributions whose log-densities are JAX kernels."""

from pymc_jaxdist.distributions.autoregressive import (
    AutoRegressive,
)
from pymc_jaxdist.distributions.hidden_markov import (
    MarginalHMM,
)
from pymc_jaxdist.distributions.hidden_semi_markov import (
    MarginalHSMM,
)
from pymc_jaxdist.distributions.hmm_logp import (
    hmm_logp,
)
from pymc_jaxdist.distributions.jax_dist import (
    JaxDist,
)
from pymc_jaxdist.distributions.long_table import (
    pad_observations,
)
from pymc_jaxdist.distributions.neural_net_observed import (
    NeuralNetObserved,
)
from pymc_jaxdist.distributions.nn_priors import (
    FanIn,
    Frozen,
    describe,
    nn_priors,
)
from pymc_jaxdist.distributions.ode import (
    ODEObserved,
    ode_solution,
)
from pymc_jaxdist.distributions.ode_events import (
    Doses,
    Jumps,
)
from pymc_jaxdist.distributions.product_chain import (
    product_chain,
)
from pymc_jaxdist.distributions.transition_matrices import (
    sticky_dirichlet,
    transition_from_logits,
    transition_from_rates,
)
from pymc_jaxdist.kernels.ode.interpolation import (
    interpolated,
)
from pymc_jaxdist.kernels.ode.matrix_exponential import (
    LinearODE,
)
from pymc_jaxdist.kernels.ode.runge_kutta4 import (
    RK4,
)

__all__ = [
    "RK4",
    "AutoRegressive",
    "Doses",
    "FanIn",
    "Frozen",
    "JaxDist",
    "Jumps",
    "LinearODE",
    "MarginalHMM",
    "MarginalHSMM",
    "NeuralNetObserved",
    "ODEObserved",
    "describe",
    "hmm_logp",
    "interpolated",
    "nn_priors",
    "ode_solution",
    "pad_observations",
    "product_chain",
    "sticky_dirichlet",
    "transition_from_logits",
    "transition_from_rates",
]
