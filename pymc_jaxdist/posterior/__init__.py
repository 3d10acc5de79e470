"""What a model says after sampling."""

from pymc_jaxdist.posterior.decode import decode_states

__all__ = ["decode_states"]
