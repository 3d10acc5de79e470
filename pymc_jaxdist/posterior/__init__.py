"""What happens after sampling: hidden states, predictions, checks, as labelled arrays."""

from pymc_jaxdist.posterior.check_ode import (
    check_ode,
)
from pymc_jaxdist.posterior.decode import (
    decode_states,
)
from pymc_jaxdist.posterior.failed_solves import (
    failed_solves,
)
from pymc_jaxdist.posterior.forecast import (
    forecast,
)
from pymc_jaxdist.posterior.groups import (
    add_group,
)
from pymc_jaxdist.posterior.imputation import (
    impute,
)
from pymc_jaxdist.posterior.initial_values import (
    initial_values,
)
from pymc_jaxdist.posterior.network_prediction import posterior_pytree
from pymc_jaxdist.posterior.one_step_ahead import (
    one_step_log_predictive,
    pseudo_residuals,
)
from pymc_jaxdist.posterior.predict import predict
from pymc_jaxdist.posterior.relabel import (
    relabel_states,
)
from pymc_jaxdist.posterior.transitions import (
    pairwise_probs,
    state_occupancy,
    transition_counts,
)

__all__ = [
    "add_group",
    "check_ode",
    "decode_states",
    "failed_solves",
    "forecast",
    "impute",
    "initial_values",
    "one_step_log_predictive",
    "pairwise_probs",
    "posterior_pytree",
    "predict",
    "pseudo_residuals",
    "relabel_states",
    "state_occupancy",
    "transition_counts",
]
