"""What happens after sampling: hidden states, predictions, checks, as labelled arrays."""

from pymc_jaxdist.posterior.check_ode import check_ode
from pymc_jaxdist.posterior.decode import decode_states
from pymc_jaxdist.posterior.predict import predict

__all__ = ["check_ode", "decode_states", "predict"]
