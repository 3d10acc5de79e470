"""Observations of a network's output as PyMC sees them: log-density, draws, support point."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.utils import safe_signature
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.networks import Network
from pymc_jaxdist.distributions.output_likelihood import OutputLikelihood
from pymc_jaxdist.kernels.network_log_likelihood import NetworkLogLikelihood, NetworkOutputs
from pymc_jaxdist.ops import JaxFunction, log_density
from pymc_jaxdist.ops.processes import prepare_process_starts

__all__ = ["NetworkModel"]


@dataclass(frozen=True)
class NetworkModel:
    """What PyMC needs to know of observations that depend on a network.

    Its parameters come in this order: covariates, weights, whatever else the likelihood depends
    on. It holds no variable of the model.

    Attributes
    ----------
    network : Network
    likelihood : OutputLikelihood
    may_be_missing : bool
        Whether NaN in the observations means missing.
    dtype : str
        Of draws and observations.
    ndim : int
        Number of dimensions of the variable.
    """

    network: Network
    likelihood: OutputLikelihood
    may_be_missing: bool
    dtype: str
    ndim: int

    def __post_init__(self) -> None:
        # pm.sample chooses how to start its processes before it asks for the log-density.
        prepare_process_starts()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        prepare_process_starts()

    def core_signature(self, n_parameters: int) -> str:
        """Return the dimensions that belong to one draw, those of parameters and of the draw."""
        return str(safe_signature([0] * n_parameters, [self.ndim - 1]))

    def logp(self, value: TensorVariable, *parameters: TensorVariable) -> TensorVariable:
        """Return one log-density per row."""
        x, weights, others = self._split(parameters)
        kernel = NetworkLogLikelihood(
            network=self.network,
            n_weights=len(weights),
            likelihood=self.likelihood.kernel(self.ndim, others),
            may_be_missing=self.may_be_missing,
        )
        return log_density(kernel, value, x, *weights, *others, batch_ndim=1)

    def draw(self, *parameters_and_size: Any) -> TensorVariable:
        """Return a random draw as a graph."""
        *parameters, size = parameters_and_size
        if isinstance(size, Constant) and size.data is None:
            # PyMC asks once without a size, only to learn the number of dimensions.
            return pt.cast(pm.Uniform.dist(size=(1,) * self.ndim), self.dtype)
        x, weights, others = self._split(parameters)
        draw = self.likelihood.draw(self._outputs(x, weights), others, tuple(size))
        return pt.cast(draw, self.dtype)

    def support_point(
        self, rv: TensorVariable, size: Any, *parameters: TensorVariable
    ) -> TensorVariable:
        """Return observations inside the support."""
        x, weights, others = self._split(parameters)
        point = self.likelihood.support_point(self._outputs(x, weights), others)
        return pt.cast(pt.broadcast_to(point, rv.shape), self.dtype)

    def _outputs(
        self, x: TensorVariable, weights: Sequence[TensorVariable]
    ) -> list[TensorVariable]:
        return JaxFunction(NetworkOutputs(self.network))(x, *weights, return_list=True)

    def _split(
        self, parameters: Sequence[TensorVariable]
    ) -> tuple[TensorVariable, list[TensorVariable], list[TensorVariable]]:
        """Return covariates, weights, and the other parameters."""
        x, *rest = parameters
        n_weights = len(self.network.paths)
        return x, rest[:n_weights], rest[n_weights:]
