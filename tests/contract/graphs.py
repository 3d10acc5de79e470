"""Compiled log-densities and draws of the entries, shared by all tests and by the scoreboard."""

from functools import cache
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import find_rng_nodes, reseed_rngs
from pytensor.compile.mode import Mode, get_mode

from tests.contract.registry import ENTRIES, Entry
from tests.distributions.compiled import FAST

__all__ = ["MODES", "N_UNITS", "arguments", "draws", "log_density", "log_density_graph", "observed"]

N_UNITS = 3
MODES = {
    "interpreted": FAST,
    "C": Mode(linker="cvm", optimizer="fast_run"),
    "Numba": get_mode("NUMBA"),
    "JAX": get_mode("JAX"),
}


def is_shared(layout: str, entry: Entry, name: str) -> bool:
    """Tell whether all units share a parameter: rows of a network never share their covariates."""
    parameter = entry.parameters[name]
    return parameter.lift is None or (layout == "shared" and name != "x")


def inputs(entry: Entry, layout: str, dtype: str = "float64") -> dict[str, Any]:
    """Return symbolic parameters."""
    symbols = {}
    for name, parameter in entry.parameters.items():
        shape: tuple = parameter.value.shape
        if not is_shared(layout, entry, name):
            shape = (None, *(1,) * (parameter.lift or 0), *shape)
        symbols[name] = pt.tensor(name, shape=shape, dtype=dtype)
    return symbols


def log_density_graph(entry: Entry, value: Any, parameters: dict[str, Any]) -> Any:
    """Return one log-density per unit."""
    if not entry.is_distribution:
        return entry.define(value, parameters)
    with pm.Model():
        rv = entry.define("y", parameters, shape=(N_UNITS, *entry.unit_shape))
    logp = pm.logp(rv, value)
    return logp.sum(axis=tuple(range(1, logp.type.ndim)))  # an ODE has one per observation


@cache
def log_density(name: str, layout: str, mode: str = "interpreted", dtype: str = "float64") -> Any:
    """Compile ``(value, *parameters) -> (log-density per unit, gradients of the sum)``.

    Parameters
    ----------
    name : str
        Of the entry.
    layout : str
        ``"shared"`` parameters, or those ``"of units"``.
    mode : str
    dtype : str
        Of the inputs; all are floating.
    """
    entry = ENTRIES[name]
    symbols = inputs(entry, layout, dtype)
    value = pt.tensor("value", shape=(None, *entry.unit_shape), dtype=dtype)
    logp = log_density_graph(entry, value, symbols)
    everything = [value, *symbols.values()]
    outputs = [logp, *pt.grad(logp.sum(), list(symbols.values()), disconnected_inputs="ignore")]
    return pytensor.function(everything, outputs, mode=MODES[mode], on_unused_input="ignore")


def arguments(name: str, layout: str, n: int = N_UNITS, seed: int = 3) -> list[np.ndarray]:
    """Return values for the parameters of an entry."""
    entry, rng = ENTRIES[name], np.random.default_rng(seed)
    return [
        parameter.value if is_shared(layout, entry, parameter_name) else parameter.of_units(rng, n)
        for parameter_name, parameter in entry.parameters.items()
    ]


@cache
def _draws(name: str, n: int) -> tuple[Any, list]:
    entry = ENTRIES[name]
    symbols = inputs(entry, "of units")
    told: dict[str, Any] = {"shape": (n, *entry.unit_shape)}
    if entry.conditioned:  # the first observations are those that were made
        told = {"observed": np.zeros((n, *entry.unit_shape))}
    with pm.Model():
        rv = entry.define("y", symbols, **told)
    generators = find_rng_nodes([rv])
    function = pm.compile(list(symbols.values()), rv, mode=FAST, on_unused_input="ignore")
    return function, generators


def draws(name: str, parameters: list[np.ndarray], n: int, seed: int = 1) -> np.ndarray:
    """Draw one value for each of `n` units."""
    function, generators = _draws(name, n)
    reseed_rngs(generators, seed)
    return function(*parameters)


@cache
def observed(name: str, layout: str = "of units") -> np.ndarray:
    """Return a value of `N_UNITS` units, somewhere in the middle of the distribution."""
    entry, rng = ENTRIES[name], np.random.default_rng(5)
    value = 1.0 + rng.normal(size=(N_UNITS, *entry.unit_shape))
    if name == "MarginalHMM, two channels":
        value[..., 1] = rng.poisson(2.0, size=value.shape[:-1])
    return value
