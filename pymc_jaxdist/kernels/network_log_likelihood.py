"""The log-likelihood of rows whose distribution a neural network predicts."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.emission import Emission

__all__ = ["NetworkLogLikelihood", "NetworkOutputs"]

Network = Callable[[tuple[jax.Array, ...], jax.Array], tuple[jax.Array, ...]]


@dataclass(frozen=True)
class NetworkOutputs:
    """A network as a function of rows and weights, one array after the other.

    Parameters
    ----------
    network : callable
        ``(weights, x) -> outputs``, tuples of arrays. Hashable by value.
    """

    network: Network

    def __call__(self, x: jax.Array, *weights: jax.Array) -> tuple[jax.Array, ...]:
        """Return the outputs ``(N, ...)`` for rows ``(N, ...)``."""
        return self.network(weights, x)

    def __str__(self) -> str:
        return str(self.network)


@dataclass(frozen=True)
class NetworkLogLikelihood:
    r"""Log-likelihood of each row given the output of a network.

    .. math::

        \ell_n = \log f(y_n \mid \theta(g_w(x_n)))

    Parameters
    ----------
    network : callable
        ``(weights, x) -> outputs``, tuples of arrays. Hashable by value.
    n_weights : int
        Number of arrays of weights.
    likelihood : Emission
        Density of the observations, with the outputs of the network and whatever else it
        depends on as parameters.
    may_be_missing : bool
        Whether NaN in the observations means missing.
    """

    network: Network
    n_weights: int
    likelihood: Emission
    may_be_missing: bool

    def __call__(self, value: jax.Array, x: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Evaluate the log-likelihood of each row.

        Parameters
        ----------
        value : (N, ...) array
            Observations; NaN marks missing ones.
        x : (N, ...) array
            Rows of covariates.
        *arguments : array
            The weights, then the other parameters of the likelihood.

        Returns
        -------
        (N,) array
        """
        weights, others = arguments[: self.n_weights], arguments[self.n_weights :]
        outputs = self.network(weights, x)
        each = self.likelihood.log_likelihoods(value, (*outputs, *others), self.may_be_missing)
        return jnp.sum(each, axis=tuple(range(1, each.ndim)))

    def __str__(self) -> str:
        return "network log-likelihood"
