"""Where to start sampling: from clusters of a hidden Markov model's observations, or a search."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors

from pymc_jaxdist.distributions.hidden_markov_model import HiddenMarkovModel
from pymc_jaxdist.distributions.model_variable import model_of
from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.kernels import viterbi
from pymc_jaxdist.ops import LogDensity, log_density
from pymc_jaxdist.posterior.closest_paths import closest_paths
from pymc_jaxdist.posterior.clustering import cluster_observations, features_of
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior
from pymc_jaxdist.posterior.histories import paths_of_states
from pymc_jaxdist.posterior.kernel_arguments import markov_part, with_markov_part
from pymc_jaxdist.posterior.ode_initial_values import ode_initial_values
from pymc_jaxdist.posterior.ode_variable import is_ode_variable

__all__ = ["initial_values"]


def initial_values(
    var_name: str,
    *,
    model: pm.Model | None = None,
    max_iterations: int | None = None,
    random_seed: Any = None,
) -> dict[str, np.ndarray]:
    """Find values of all variables from which to sample.

    Hidden Markov models: observations are clustered by k-means, by their values and by how much
    they vary around them. Taking the clusters for the states, the posterior is maximised; then
    the most probable path takes the place of the clusters, and so on (segmental k-means, or
    classification EM [1]_). The better of the two results is returned. It works for every
    emission, since all it asks of a model is its log-density with the states given. Clusters that
    no path of the states can follow (transitions that are forbidden, stays longer than
    ``max_duration``) are first replaced by the possible path that is nearest to them.

    Differential equations: the posterior is maximised from those of 200 draws from the prior that
    fit best, and the best result is returned. Oscillations that are too fast or too slow, in which
    a sampler would stay, fit worse.

    Parameters
    ----------
    var_name : str
        Name of the `MarginalHMM`, `MarginalHSMM` or `ODEObserved` variable.
    model : pm.Model, optional
        The model; by default the one in context.
    max_iterations : int, optional
        How often a most probable path may replace the one before (5), or steps of each search
        (200).
    random_seed : int, optional
        Of k-means, or of the prior draws.

    Returns
    -------
    dict of str to array
        A value of each free variable: ``pm.sample(initvals=..., init="adapt_diag")``, with NumPyro
        ``nuts_sampler_kwargs={"jitter": False}``, so that chains do not begin elsewhere. Clusters
        are numbered from low to high in the first channel, as with an ordered parameter.

    Raises
    ------
    ParameterError
        If the variable is neither, if no states are possible where PyMC's own initial point lies,
        as when ``allowed_states`` contradict the transitions, or the data for no draw from the
        prior.

    References
    ----------
    .. [1] Juang, B.-H., & Rabiner, L. R. (1990). The segmental K-means algorithm for estimating
       parameters of hidden Markov models. IEEE Transactions on Acoustics, Speech and Signal
       Processing 38(9).

    Examples
    --------
    >>> import numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> counts = np.array([1, 0, 2, 1, 30, 28, 33, 31, 0, 1])
    >>> with pm.Model() as model:
    ...     rates = pm.Exponential("rates", 0.01, shape=2)
    ...     P = pmj.sticky_dirichlet("P", 2)
    ...     pmj.MarginalHMM("y", pm.Poisson.dist(rates), P, observed=counts)
    y
    >>> start = pmj.initial_values("y", model=model)
    >>> start["rates"].round(1)
    array([ 0.8, 30.4])
    """
    model = pm.modelcontext(model)
    if is_ode_variable(model, var_name):
        return ode_initial_values(var_name, model, max_iterations or 200, random_seed)
    if max_iterations is None:
        max_iterations = 5
    where = f"initial_values of '{var_name}'"
    point = model.initial_point(random_seed=0)
    as_posterior = _constrained(model)
    found = HiddenMarkovPosterior.find(
        "initial_values", {"posterior": as_posterior(point)}, var_name, model
    )
    hmm: HiddenMarkovModel = model_of(model.named_vars[var_name])
    conditional = _ConditionalPosterior(model, found.kernel, var_name)
    value = found.value.astype(float)
    value[np.arange(found.n_times) >= found.lengths[..., None]] = np.nan
    circular = [getattr(emission, "family", "") == "vonmises" for emission in hmm.emissions]
    random = np.random.default_rng(random_seed)

    best, best_value = None, -np.inf
    for features in features_of(value, found.event_ndim, circular):
        labels = cluster_observations(features, found.n_remembered_states, random)
        labels = _as_allowed(labels, found)
        here = point
        for _ in range(max_iterations + 1):
            fitted = conditional.maximum(here, _mask(labels, found.n_remembered_states))
            if fitted is None and here is point:
                # Stays longer than max_duration, transitions that are forbidden, and the like.
                labels = closest_paths(found, labels)
                fitted = conditional.maximum(here, _mask(labels, found.n_remembered_states))
            if fitted is None:
                break
            here = fitted
            draw = {"posterior": as_posterior(here)}
            again = HiddenMarkovPosterior.find("initial_values", draw, var_name, model)
            path = paths_of_states(again, again.evaluate(viterbi, progressbar=False)[0])[0]
            relabelled = np.where(np.isnan(features).any(axis=-1), -1, path)
            settled = np.array_equal(relabelled, labels)
            if settled or len(np.unique(relabelled)) < len(np.unique(labels)):
                break
            labels = relabelled
        total = conditional(here, _mask(np.full_like(labels, -1), found.n_remembered_states))[0]
        if here is not point and total > best_value:
            best, best_value = here, total
    if best is None:
        raise ParameterError(
            compose_message(
                where,
                "the observations are impossible at the initial point of the model, "
                "whatever the states.",
                suggestion="pm.Normal(..., initval=...) with values at which model.point_logps() "
                "is finite, or fewer zeros in transition_matrix and allowed_states",
            )
        )
    dataset = as_posterior(best)
    return {name: dataset[name].values[0, 0] for name in dataset.data_vars}


class _ConditionalPosterior:
    """The log-posterior of a model given what is known of the states, and its gradient."""

    def __init__(self, model: pm.Model, kernel: Any, var_name: str) -> None:
        self.variables = model.continuous_value_vars
        n_times_axis = model.named_vars[var_name].type.ndim
        total = model.logp(jacobian=False)
        emissions = markov_part(kernel).emissions
        event_ndim = 1 if len(emissions) > 1 else emissions[0].event_ndim
        self._mask = pt.tensor(
            "mask", dtype="bool", shape=(None,) * (n_times_axis + 1 - event_ndim)
        )
        observed = model.rvs_to_values[model.named_vars[var_name]]
        replaced = {}
        for variable in ancestors([total]):
            node = variable.owner
            is_it = node is not None and isinstance(node.op, LogDensity)
            if is_it and variable is node.outputs[0] and observed in ancestors(node.inputs[:1]):
                replaced[variable] = self._given_states(node)
        total = graph_replace(total, replaced)
        gradients = pt.grad(total, self.variables, disconnected_inputs="ignore")
        self._function: Callable[..., Any] = pm.pytensorf.compile(
            [*model.value_vars, self._mask],
            [total, *gradients],
            on_unused_input="ignore",
            mode="FAST_COMPILE",
        )
        self._names = [v.name for v in model.value_vars]

    def _given_states(self, node: Any) -> Any:
        """Return the log-density of a node with the mask as well."""
        kernel, inputs = node.op.kernel, list(node.inputs)
        markov = markov_part(kernel)
        at = 2 + markov.initial_probs_given + markov.lengths_given
        if markov.allowed_states_given:
            inputs[at] = inputs[at] & self._mask
        else:
            inputs.insert(at, self._mask)
        given = with_markov_part(kernel, dataclasses.replace(markov, allowed_states_given=True))
        return log_density(given, *inputs, batch_ndim=node.op.batch_ndim)

    def __call__(self, point: dict[str, np.ndarray], mask: np.ndarray) -> tuple[float, list[Any]]:
        """Evaluate the log-posterior and its gradients."""
        total, *gradients = self._function(*(point[name] for name in self._names), mask)
        return float(total), gradients

    def maximum(
        self, point: dict[str, np.ndarray], mask: np.ndarray
    ) -> dict[str, np.ndarray] | None:
        """Return the point of largest density, searching from one; None if there is no density."""
        names = [v.name for v in self.variables]
        shapes = [np.shape(point[name]) for name in names]
        sizes = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1]

        def unraveled(x: np.ndarray) -> dict[str, np.ndarray]:
            parts = zip(names, shapes, np.split(x, sizes), strict=True)
            return {**point, **{name: part.reshape(shape) for name, shape, part in parts}}

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            total, gradients = self(unraveled(x), mask)
            flat = np.concatenate([np.ravel(g) for g in gradients])
            if not (np.isfinite(total) and np.isfinite(flat).all()):
                return 1e100, np.zeros_like(x)  # the line search turns back
            return -total, -flat

        start = np.concatenate([np.ravel(point[name]) for name in names])
        if objective(start)[0] >= 1e100:
            return None
        from scipy.optimize import minimize

        return unraveled(minimize(objective, start, jac=True, method="L-BFGS-B").x)


def _as_allowed(labels: np.ndarray, found: HiddenMarkovPosterior) -> np.ndarray:
    """Give clusters the numbers of the known states, and forget where they contradict them."""
    if "allowed_states" not in found.parameters:
        return labels
    n_states = found.n_remembered_states
    allowed = np.broadcast_to(found.parameters["allowed_states"][0], (*labels.shape, n_states))
    says_something = ~allowed.all(axis=-1)
    agreement = np.zeros((n_states, n_states))
    for k in range(n_states):
        agreement[k] = allowed[says_something & (labels == k)].sum(axis=0)
    from scipy.optimize import linear_sum_assignment

    number = linear_sum_assignment(-agreement)[1]
    labels = np.where(labels < 0, -1, number[labels])
    possible = np.take_along_axis(allowed, np.maximum(labels, 0)[..., None], axis=-1)[..., 0]
    return np.where(possible, labels, -1)


def _mask(labels: np.ndarray, n_states: int) -> np.ndarray:
    return (labels[..., None] == np.arange(n_states)) | (labels[..., None] < 0)


def _constrained(model: pm.Model) -> Callable[[dict[str, np.ndarray]], xr.Dataset]:
    """Return a function from a point to a posterior of one draw of the free variables."""
    graphs = model.replace_rvs_by_values(model.free_RVs)
    function = pm.pytensorf.compile(
        model.value_vars, graphs, on_unused_input="ignore", mode="FAST_COMPILE"
    )

    def as_posterior(point: dict[str, np.ndarray]) -> xr.Dataset:
        values = function(*(point[v.name] for v in model.value_vars))
        variables = {}
        for rv, drawn in zip(model.free_RVs, values, strict=True):
            dims = ("chain", "draw", *(f"{rv.name}_dim_{i}" for i in range(np.ndim(drawn))))
            variables[rv.name] = (dims, np.asarray(drawn)[None, None])
        return xr.Dataset(variables, coords={"chain": [0], "draw": [0]})

    return as_posterior
