"""A PyMC model around every entry: one parameter has a prior, the data can be exchanged."""

from functools import cache
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from pymc_jaxdist.ops import LogDensity
from tests.contract import graphs
from tests.contract.registry import ENTRIES
from tests.distributions.compiled import FAST

__all__ = ["build", "compiled_kernel", "log_densities", "log_density_op", "model"]


def build(name: str, units: slice = slice(None)) -> pm.Model:
    """Build the model of an entry, for some of the units."""
    entry = ENTRIES[name]
    parameters: dict[str, Any] = dict(
        zip(entry.parameters, graphs.arguments(name, "shared"), strict=True)
    )
    coords = {f"axis_{i}": range(n) for i, n in enumerate(entry.unit_shape)}
    with pm.Model(coords=coords) as model:
        value = pm.Data("data", graphs.observed(name)[units], dims=("unit", *coords))
        if "x" in parameters:  # covariates belong to the data
            parameters["x"] = pm.Data("x", parameters["x"][units])
        moved = next(iter(parameters)) if not entry.is_distribution else entry.moved
        if entry.is_distribution:
            centre = parameters[moved]
            parameters[moved] = pm.Normal(moved, centre, 0.1, shape=centre.shape)
            entry.define("y", parameters, observed=value, dims=("unit", *coords))
        else:
            parameters[moved] = pm.Dirichlet(moved, np.ones(2), shape=(2, 2))
            pm.Potential("y", entry.define(value, parameters).sum())
    return model


@cache
def model(name: str) -> pm.Model:
    """Return the model of an entry, built once."""
    return build(name)


def log_densities(model: pm.Model) -> Any:
    """Compile the log-density of each unit."""
    if model.potentials:
        return model.compile_fn(model.potentiallogp, mode=FAST)
    (logp,) = model.logp(vars=[model["y"]], sum=False)
    return model.compile_fn(logp.sum(axis=tuple(range(1, logp.type.ndim))), mode=FAST)


def log_density_op(model: pm.Model) -> LogDensity:
    """Return the Op of the model's density."""
    total: Any = model.logp()
    nodes = [v.owner for v in ancestors([pt.as_tensor(total)]) if v.owner is not None]
    return next(node.op for node in nodes if isinstance(node.op, LogDensity))


def compiled_kernel(function: Any) -> Any:
    """Return the compiled JAX function inside a compiled PyTensor function."""
    nodes = function.maker.fgraph.toposort()
    (op,) = (node.op for node in nodes if isinstance(node.op, LogDensity))
    return op.compiled
