"""What a call costs: the Op in C, Numba and JAX modes against the bare compiled JAX kernel.

Value and all gradients of a hidden Markov model. The claim: at most 40 microseconds above the bare
call in C mode, 60 in Numba mode. Everything is timed in one process, in turn; medians.
"""

import json
import platform
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode, get_mode

import pymc_jaxdist as pmj
from pymc_jaxdist.ops import LogDensity

SIZES = [(1, 107, 3), (70, 51, 3)]
MODES = {
    "C": lambda: Mode(linker="cvm", optimizer="fast_run"),
    "Numba": lambda: get_mode("NUMBA"),
    "JAX": lambda: get_mode("JAX"),
}
ROUNDS, CALLS = 30, 50
RESULTS = Path(__file__).parent / "results" / "op_call.json"


def hidden_markov_graph(n_sequences, n_times, n_states):
    """Return inputs, outputs and a point of the value-and-gradient graph of a Normal HMM."""
    y = np.random.default_rng(0).normal(size=(n_sequences, n_times))
    mu, sigma = pt.dvector("mu"), pt.dvector("sigma")
    start, matrix = pt.dvector("start"), pt.dmatrix("matrix")
    inputs = [mu, sigma, start, matrix]
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist(mu, sigma), matrix, start, shape=y.shape)
    logp = pm.logp(hmm, y).sum()
    point = [
        np.arange(n_states, dtype=float),
        np.ones(n_states),
        np.full(n_states, 1 / n_states),
        np.full((n_states, n_states), 1 / n_states),
    ]
    return inputs, [logp, *pt.grad(logp, inputs)], point


def bare_call(function, inputs, point):
    """Return the compiled kernel of a function, called with the data on the device already."""
    (node,) = [n for n in function.maker.fgraph.toposort() if isinstance(n.op, LogDensity)]
    by_name = {variable.name: value for variable, value in zip(inputs, point, strict=True)}
    arguments = [
        by_name[x.name] if x.name in by_name else jax.device_put(x.data) for x in node.inputs
    ]
    return lambda: jax.block_until_ready(node.op.compiled(*arguments))


def microseconds(calls):
    """Time each call in turn, ROUNDS times; return the medians."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            times[name].append((time.perf_counter() - start) / CALLS * 1e6)
    return {name: float(np.median(t)) for name, t in times.items()}


def main():
    rows = []
    for size in SIZES:
        inputs, outputs, point = hidden_markov_graph(*size)
        functions = {
            name: pytensor.function(inputs, outputs, mode=mode()) for name, mode in MODES.items()
        }
        for function in functions.values():
            function.trust_input = True
        calls = {"bare": bare_call(functions["C"], inputs, point)}
        calls |= {name: partial(function, *point) for name, function in functions.items()}
        times = microseconds(calls)
        above = {name: times[name] - times["bare"] for name in MODES}
        rows.append({"size": size, "microseconds": times, "above_bare": above})
        shape = " x ".join(map(str, size))
        print(f"{shape:>14}   bare {times['bare']:6.1f}", end="")
        print("".join(f"   {name} {above[name]:+6.1f}" for name in MODES), "microseconds")
    versions = {name: version(name) for name in ("pymc", "pytensor", "jax", "numba")}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"python": platform.python_version(), **versions, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
