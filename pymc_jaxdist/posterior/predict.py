"""`predict`: what a fitted model says at other times, for new subjects or for new rows."""

from typing import Any

import pymc as pm
import xarray as xr

from pymc_jaxdist.distributions.model_variable import model_of
from pymc_jaxdist.distributions.network_model import NetworkModel
from pymc_jaxdist.distributions.ode_model import ODEModel
from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.posterior.network_prediction import predict_network
from pymc_jaxdist.posterior.ode_prediction import predict_ode

__all__ = ["predict"]


def predict(
    idata: Any,
    var_name: str,
    *,
    times: Any = None,
    params: Any = None,
    y0: Any = None,
    t0: Any = None,
    events: Any = None,
    likelihood: Any = None,
    X: Any = None,
    observations: bool = True,
    model: pm.Model | None = None,
    random_seed: int | None = None,
    chunk: int = 64,
) -> xr.Dataset:
    """Predict at other times or for new subjects of an equation, or for new rows of a network.

    Parameters
    ----------
    idata : InferenceData or DataTree
        What ``pm.sample`` returned.
    var_name : str
        Name of the `ODEObserved` or `NeuralNetObserved` variable.
    times : (T,) or (..., T) array_like, optional
        Of a differential equation: times; by default those of the data.
    params, y0, t0, events, likelihood : optional
        Of a differential equation: what is to replace these arguments of `ODEObserved`, for new
        subjects. Variables of the model and unregistered distributions may stand in them: a new
        patient of a population is ``pt.exp(mean + sd * pm.Normal.dist(shape=1))``, and another
        one for every posterior draw. New subjects need a ``likelihood`` of their own if it has
        parameters for each subject.
    X : array_like ``(N, ...)``, optional
        Of a network: covariates; by default those of the model.
    observations : bool
        Of a differential equation: whether to draw observations, too.
    model : pm.Model, optional
        The model; by default the one in context.
    random_seed : int, optional
        For the observations.
    chunk : int
        Of a network: posterior draws evaluated together; memory grows with it.

    Returns
    -------
    xarray.Dataset
        Of a differential equation ``{var_name}_solution (chain, draw, ..., time, state)``, what
        the likelihood sees of the solution, NaN where it could not be solved, and ``{var_name}``,
        drawn observations. Subjects and channels have the dimensions of the model, and its
        coordinates unless `params` or `y0` say that they are others; times of single subjects are
        the coordinate ``times (..., time)``. Of a network ``{var_name}``, its output
        ``(chain, draw, row, ...)`` before the likelihood is applied to it, and ``r_hat`` and
        ``ess`` of each entry of the output; if it returns several arrays, these names with
        ``_0``, ``_1``, ... appended. The weights of a network can be exchanged for each other
        (hidden units permuted, signs flipped) without any change of its output: chains must
        agree on the output, not on them.

    Raises
    ------
    ParameterError
        If the variable is neither, an argument belongs to the other, or draws are missing.
    ShapeError
        If the likelihood has parameters that belong to the times of the data, or rows of `X` have
        another shape than those the network was made for.

    References
    ----------
    .. [1] Gelman, A., et al. (2013). Bayesian Data Analysis, 3rd ed., sections 11.4 and 11.5. CRC
       Press.

    Examples
    --------
    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> with pm.Model() as model:
    ...     rate = pm.HalfNormal("rate")
    ...     y = pmj.ODEObserved(
    ...         "y",
    ...         lambda t, y, rate: -rate * y,
    ...         params=rate,
    ...         y0=[1.0],
    ...         times=[1.0, 2.0],
    ...         observe=0,
    ...         likelihood=lambda y: pm.Normal.dist(y, 0.1),
    ...         observed=[0.4, 0.1],
    ...     )
    >>> draws = xr.Dataset({"rate": (("chain", "draw"), [[1.0]])}, {"chain": [0], "draw": [0]})
    >>> predicted = pmj.predict({"posterior": draws}, "y", times=[0.0, 1.0], model=model)
    >>> predicted["y_solution"].values.round(4)
    array([[[1.    , 0.3679]]])

    The same for a new subject that starts at 2:

    >>> predicted = pmj.predict({"posterior": draws}, "y", times=[0.0, 1.0], y0=[2.0], model=model)
    >>> predicted["y_solution"].values.round(4)
    array([[[2.    , 0.7358]]])

    A network at a new row:

    >>> X = np.array([[1.0], [2.0]])
    >>> net = lambda params, x: x @ params["slope"]
    >>> with pm.Model() as model:
    ...     weights = pmj.nn_priors("net", net, X, start={"slope": np.ones(1)})
    ...     y = pmj.NeuralNetObserved(
    ...         "y",
    ...         net,
    ...         weights,
    ...         X,
    ...         likelihood=lambda out: pm.Normal.dist(out),
    ...         observed=[1.0, 2.0],
    ...     )
    >>> draws = xr.Dataset({"net.slope": (("chain", "draw", "k"), [[[2.0], [3.0]]])})
    >>> pmj.predict({"posterior": draws}, "y", X=[[10.0]], model=model)["y"].values.tolist()
    [[[20.0], [30.0]]]
    """
    model = pm.modelcontext(model)
    rv = model.named_vars.get(var_name)
    found = None if rv is None or rv not in model.observed_RVs else model_of(rv)
    told = {"params": params, "y0": y0, "t0": t0, "events": events, "likelihood": likelihood}
    changes = {name: value for name, value in told.items() if value is not None}
    if isinstance(found, NetworkModel) and times is None and not changes:
        return predict_network(idata, var_name, X=X, model=model, chunk=chunk)
    if isinstance(found, ODEModel) and X is None:
        return predict_ode(
            idata,
            var_name,
            times=times,
            changes=changes,
            observations=observations,
            model=model,
            random_seed=random_seed,
        )
    where = f"predict of '{var_name}'"
    if isinstance(found, NetworkModel | ODEModel):
        raise ParameterError(
            compose_message(
                where,
                "X is for networks, the other arguments are for differential equations.",
                got=", ".join(changes) or ("times" if X is None else "X"),
                expected="X" if isinstance(found, NetworkModel) else "times, params, y0, ...",
            )
        )
    raise ParameterError(
        compose_message(
            where,
            "the variable is not an observed ODEObserved or NeuralNetObserved of the model.",
            got=f"'{var_name}'",
            expected="one of " + ", ".join(repr(rv.name) for rv in model.basic_RVs),
            suggestion="forecast(...) or decode_states(...) for hidden Markov models",
        )
    )
