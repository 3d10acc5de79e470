"""What a model says after sampling."""

from pymc_jaxdist.posterior.decode import decode_states
from pymc_jaxdist.posterior.predict import posterior_pytree, predict

__all__ = ["decode_states", "posterior_pytree", "predict"]
