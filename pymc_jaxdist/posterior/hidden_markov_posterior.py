"""A hidden Markov model with the posterior draws of its parameters: what decoding starts from."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr
from pytensor.graph.basic import Apply
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType

from pymc_jaxdist.distributions.model_variable import model_of
from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message
from pymc_jaxdist.kernels.autoregression import AutoRegressiveEmission
from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import HiddenMarkovLogLikelihood
from pymc_jaxdist.kernels.hidden_semi_markov_log_likelihood import HiddenSemiMarkovLogLikelihood
from pymc_jaxdist.posterior.blocks_of_draws import evaluate_in_blocks
from pymc_jaxdist.posterior.kernel_arguments import (
    Kernel,
    argument_names,
    in_order,
    markov_part,
    with_markov_part,
)
from pymc_jaxdist.posterior.parameter_draws import find_log_density, flat_draws, parameter_draws

__all__ = ["HiddenMarkovPosterior"]


@dataclasses.dataclass
class HiddenMarkovPosterior:
    """A hidden Markov model, its observations, and S posterior draws of its parameters.

    Made by `find`.

    Attributes
    ----------
    where : str
        The function and the variable, for error messages.
    var_name : str
        Name of the variable.
    model : pm.Model
        The model that holds it.
    kernel : HiddenMarkovLogLikelihood or HiddenSemiMarkovLogLikelihood
        The log-likelihood, to be called with `value` and a draw of `parameters`.
    value : (..., T) or (..., T, D) array
        Observations.
    parameters : dict of (S, ...) arrays
        Draws of the arguments of the kernel, in its order.
    posterior : xarray.Dataset
        The draws of the model.
    matrix_dims : list of str or None
        Names of the dimensions of the transition matrix.
    """

    where: str
    var_name: str
    model: pm.Model
    kernel: Kernel
    value: np.ndarray
    parameters: dict[str, np.ndarray]
    posterior: Any
    matrix_dims: list[str | None]

    @classmethod
    def find(
        cls,
        function: str,
        idata: Any,
        var_name: str,
        model: pm.Model | None,
        *,
        observed: Any = None,
        lengths: Any = None,
        data: dict[str, Any] | None = None,
    ) -> "HiddenMarkovPosterior":
        """Find a hidden Markov model in a model, and evaluate its parameters for every draw.

        Parameters
        ----------
        function : str
            Who asks, for error messages.
        idata, var_name, model, observed, lengths, data
            As in `decode_states`.
        """
        where = f"{function} of '{var_name}'"
        model = pm.modelcontext(model)
        node = find_log_density(
            where,
            model,
            var_name,
            (HiddenMarkovLogLikelihood, HiddenSemiMarkovLogLikelihood),
            "MarginalHMM",
        )
        kernel = node.op.kernel
        known = flat_draws(model, idata["posterior"])
        draws = parameter_draws(where, node.inputs[1:], model, known, data)
        parameters = dict(zip(argument_names(kernel), draws, strict=True))
        if observed is not None:
            value: np.ndarray = np.ma.filled(np.ma.asarray(observed, dtype=float), np.nan)
            # What was said of the observed sequences says nothing of others.
            parameters = {
                name: draw
                for name, draw in parameters.items()
                if name not in ("lengths", "allowed_states")
            }
            if lengths is not None:
                n_draws = len(next(iter(parameters.values())))
                lengths = np.broadcast_to(lengths, (n_draws, *np.shape(lengths)))
                parameters = in_order(parameters | {"lengths": lengths})
        else:
            value = _observations(where, node)
        matrix_dims = model.named_vars_to_dims.get(node.inputs[1].name) or ()
        found = cls(
            where=where,
            var_name=var_name,
            model=model,
            kernel=kernel,
            value=value,
            parameters=parameters,
            posterior=idata["posterior"],
            matrix_dims=list(matrix_dims)[-2:],
        )
        return found.with_value(value)

    @property
    def emissions(self) -> tuple[Emission | AutoRegressiveEmission, ...]:
        """The emission densities of the kernel, one per channel."""
        return markov_part(self.kernel).emissions

    @property
    def event_ndim(self) -> int:
        """1 if observations are vectors, else 0."""
        emissions = self.emissions
        return 1 if len(emissions) > 1 else emissions[0].event_ndim

    @property
    def n_times(self) -> int:
        """T."""
        return self.value.shape[self.value.ndim - 1 - self.event_ndim]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the set of sequences."""
        return self.value.shape[: self.value.ndim - 1 - self.event_ndim]

    @property
    def n_states(self) -> int:
        """Number of states of the chain: K, or in a chain that remembers several, of histories."""
        return int(self.parameters["transition_matrix"].shape[-1])

    @property
    def memory(self) -> int:
        """Number of states that one state of the chain stands for; 1 in an ordinary chain."""
        return model_of(self.model.named_vars[self.var_name]).memory

    @property
    def n_remembered_states(self) -> int:
        """K of a chain that remembers several states, whose own states are their histories."""
        return model_of(self.model.named_vars[self.var_name]).n_remembered_states or self.n_states

    @property
    def n_draws(self) -> int:
        """S, chains times draws."""
        return len(self.parameters["transition_matrix"])

    @property
    def lengths(self) -> np.ndarray:
        """Number of observations of each sequence, ``(...)``."""
        lengths = self.parameters.get("lengths")
        return np.broadcast_to(self.n_times if lengths is None else lengths[0], self.batch_shape)

    def with_value(self, value: np.ndarray, **parameters: Any) -> "HiddenMarkovPosterior":
        """Return the same posterior with other observations and other parameters.

        A parameter that is None is left out.
        """
        merged = {k: v for k, v in (self.parameters | parameters).items() if v is not None}
        markov = dataclasses.replace(
            markov_part(self.kernel),
            may_be_missing=True,
            lengths_given="lengths" in merged,
            allowed_states_given="allowed_states" in merged,
        )
        kernel = with_markov_part(self.kernel, markov)
        return dataclasses.replace(self, kernel=kernel, value=value, parameters=in_order(merged))

    def extended(self, steps: int) -> "HiddenMarkovPosterior":
        """Return the same posterior with ``steps`` unknown observations after each sequence."""
        axis = self.value.ndim - 1 - self.event_ndim
        beyond = np.arange(self.n_times) >= self.lengths[..., None]
        value = self.value.astype(float)
        value[beyond] = np.nan
        padding = [(0, steps if i == axis else 0) for i in range(value.ndim)]
        changed: dict[str, Any] = {"lengths": None}
        if "allowed_states" in self.parameters:
            mask = self.parameters["allowed_states"]
            width = [(0, steps if i == mask.ndim - 2 else 0) for i in range(mask.ndim)]
            changed["allowed_states"] = np.pad(mask, width, constant_values=True)
        return self.with_value(np.pad(value, padding, constant_values=np.nan), **changed)

    def evaluate(
        self,
        function: Callable[..., Any],
        *,
        progressbar: bool,
        seed: np.random.SeedSequence | None = None,
    ) -> Any:
        """Evaluate a function of the evidence for every draw.

        Parameters
        ----------
        function : callable
            A module-level function of ``(log_likelihoods, initial_probs, transition_matrix,
            lengths)``, and of a random key before them if there is a seed. Returns arrays. For a
            semi-Markov model its counterpart in `SEMI_MARKOV` is evaluated.
        progressbar : bool
            Whether to show progress, if it takes several steps.
        seed : numpy.random.SeedSequence, optional
            Of the random keys.

        Returns
        -------
        pytree of (S, ...) arrays
        """
        of_each_draw = np.prod(self.batch_shape, dtype=int) * self.n_times * self.n_states
        try:
            return evaluate_in_blocks(
                self.kernel,
                function,
                self.value,
                self.parameters,
                numbers_per_draw=int(of_each_draw),
                description=self.where,
                progressbar=progressbar,
                seed=seed,
            )
        except (TypeError, ValueError) as error:
            raise self._refused(error) from error

    def array(
        self,
        values: np.ndarray,
        name: str,
        dims: Sequence[str] = (),
        coords: dict[str, Any] | None = None,
        *,
        per_time: bool = True,
    ) -> xr.DataArray:
        """Label an array ``(S, ...[, T], *dims)`` with the dims and coords of the model."""
        lead = {dim: self.posterior[dim].values for dim in ("chain", "draw")}
        values = values.reshape(*(len(c) for c in lead.values()), *values.shape[1:])
        n_own = len(self.batch_shape) + per_time
        given = list(self.model.named_vars_to_dims.get(self.var_name) or [])[:n_own]
        given += [None] * (n_own - len(given))
        own = [dim or f"{self.var_name}_dim_{axis}" for axis, dim in enumerate(given)]
        every = ["chain", "draw", *own, *dims]
        labels: dict[str, Any] = dict(lead)
        for dim, length in zip(every[2:], values.shape[2:], strict=True):
            known = (coords or {}).get(dim, self.model.coords.get(dim))
            if known is not None and len(known) == length:
                labels[dim] = np.asarray(known)
        return xr.DataArray(values, dims=every, coords=labels, name=name)

    @property
    def state_dim(self) -> str:
        """Name of the dimension of the states."""
        return (self.matrix_dims[0] if self.matrix_dims else None) or "state"

    @property
    def pair_dims(self) -> tuple[str, str]:
        """Names of the dimensions of a matrix over pairs of states."""
        to = self.matrix_dims[1] if len(self.matrix_dims) > 1 else None
        if to is None or to == self.state_dim:
            to = f"to_{self.state_dim}"
        return self.state_dim, to

    @property
    def channel_dim(self) -> str:
        """Name of the dimension of the channels."""
        dims = self.model.named_vars_to_dims.get(self.var_name) or ()
        complete = len(dims) == self.value.ndim
        return (list(dims)[-1] if complete else None) or f"{self.var_name}_channel"

    def pair_coords(self) -> dict[str, Any]:
        """Coordinates of the second dimension of a matrix over pairs of states."""
        known = self.model.coords.get(self.state_dim)
        return {} if known is None else {self.pair_dims[1]: known}

    def _refused(self, error: Exception) -> ShapeError:
        shapes = ", ".join(f"{name} {draws.shape[1:]}" for name, draws in self.parameters.items())
        return ShapeError(
            compose_message(
                self.where,
                "the parameters do not fit the observations.",
                got=f"observations {self.value.shape}; {shapes}",
                expected=f"shapes that broadcast; JAX says: {str(error).splitlines()[0]:.120}",
                suggestion="data={'x': ...} with as many rows as there are times, for parameters "
                "that depend on covariates in pm.Data",
            )
        )


def _observations(where: str, node: Apply) -> np.ndarray:
    """Return the observed sequences of a log-density."""
    value = node.inputs[0]
    if any(isinstance(v.type, RandomType) for v in ancestors([value])):
        raise ParameterError(
            compose_message(
                where,
                "the observations are a random choice of sequences.",
                got="observed=pm.Minibatch(...)",
                suggestion="build the model again with observed=y, and pass it as model=",
            )
        )
    return np.asarray(value.eval())
