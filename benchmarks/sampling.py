"""Whole models: time to the first draw, and effective draws per second, of every way to sample.

A hidden Markov model of 70 sequences of 51 observations and 3 states, Normal emissions, all
parameters unknown. Each way runs in a process of its own with empty caches, so that the first draw
pays for everything that is ever compiled; the draws that count are made afterwards, in the same
process. 4 chains of 500 draws after 500 of tuning, on two cores.

nutpie              what PyMC 6 uses if it is installed: chains in threads, compiled by Numba
nutpie, by Python   the same, but the log-density is called through Python, as that of an Op is that
                    Numba knows nothing of: threads wait for the interpreter
PyMC                ``pm.sample(nuts_sampler="pymc")``, chains in processes
NumPyro             ``pm.sample(nuts_sampler="numpyro")``
pymc-extras         ``marginalize`` of a ``DiscreteMarkovChain``, sampled by nutpie

Run: ``python benchmarks/sampling.py``
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "sampling.json"
CONTESTANTS = ("nutpie", "nutpie, by Python", "PyMC", "NumPyro", "pymc-extras")
SEQUENCES, TIMES, STATES = 70, 51, 3
DRAWS, CHAINS, CORES = 500, 4, 2


def simulate() -> Any:
    import numpy as np

    rng = np.random.default_rng(20261122)
    stay = np.full((STATES, STATES), 0.05) + np.eye(STATES) * (1 - 0.05 * STATES)
    states = np.empty((SEQUENCES, TIMES), dtype=int)
    states[:, 0] = rng.integers(STATES, size=SEQUENCES)
    for t in range(1, TIMES):
        below = stay.cumsum(axis=1)[states[:, t - 1]]
        states[:, t] = (rng.random((SEQUENCES, 1)) > below).sum(axis=1)
    return np.array([-2.0, 0.0, 2.0])[states] + rng.normal(scale=0.7, size=states.shape)


def build(contestant: str, y: Any) -> Any:
    import numpy as np
    import pymc as pm

    import pymc_jaxdist as pmj

    with pm.Model() as model:
        transform = pm.distributions.transforms.ordered
        start = np.linspace(-1.0, 1.0, STATES)
        mu = pm.Normal("mu", 0.0, 3.0, shape=STATES, transform=transform, initval=start)
        sigma = pm.HalfNormal("sigma", 1.0)
        p0 = pm.Dirichlet("p0", a=np.ones(STATES))
        P = pm.Dirichlet("P", a=np.ones((STATES, STATES)))
        if contestant != "pymc-extras":
            pmj.MarginalHMM("y", pm.Normal.dist(mu, sigma), P, p0, observed=y)
            return model
        from pymc_extras import marginalize
        from pymc_extras.distributions import DiscreteMarkovChain

        first = pm.Categorical.dist(p=p0)
        states = DiscreteMarkovChain("states", P=P, init_dist=first, shape=y.shape)
        pm.Normal("y", mu[states], sigma, observed=y)
    return marginalize(model, ["states"])


def run(contestant: str) -> dict[str, float]:
    import arviz as az
    import pymc as pm

    sampler = {"PyMC": "pymc", "NumPyro": "numpyro"}.get(contestant, "nutpie")
    if contestant == "nutpie, by Python":
        call_through_python()
    y = simulate()
    options: dict[str, Any] = {"progressbar": False, "random_seed": 1, "nuts_sampler": sampler}
    if sampler == "numpyro":
        options["nuts_sampler_kwargs"] = {"chain_method": "vectorized"}
    begin = time.perf_counter()
    with build(contestant, y):
        pm.sample(draws=1, tune=1, chains=1, cores=1, compute_convergence_checks=False, **options)
        first = time.perf_counter() - begin
        begin = time.perf_counter()
        idata = pm.sample(draws=DRAWS, tune=DRAWS, chains=CHAINS, cores=CORES, **options)
        taken = time.perf_counter() - begin
    ess = az.ess(idata)
    fewest = min(float(ess[name].min()) for name in ("mu", "sigma", "p0", "P"))
    return {"first_draw_s": first, "sampling_s": taken, "ess": fewest, "ess_per_s": fewest / taken}


def call_through_python() -> None:
    """Hide from Numba that it can compile hidden Markov models."""
    from pytensor.link.numba.dispatch.basic import numba_funcify

    from pymc_jaxdist.ops import LogDensity
    from pymc_jaxdist.ops.compat import numba_object_mode
    from pymc_jaxdist.ops.linkers import know_our_ops

    know_our_ops()  # Only the last registration counts.
    numba_funcify.register(LogDensity)(numba_object_mode)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contestant", choices=CONTESTANTS, help="this one, in this process")
    arguments = parser.parse_args()
    if arguments.contestant:
        print(json.dumps(run(arguments.contestant)))
        return
    results = {}
    print(f"{'':>18} {'first draw':>11} {'sampling':>10} {'ESS':>6} {'ESS/s':>8}")
    for contestant in CONTESTANTS:
        with tempfile.TemporaryDirectory() as empty:
            environment = os.environ | {
                "PYTENSOR_FLAGS": f"base_compiledir={empty}",
                "NUMBA_CACHE_DIR": empty,
            }
            command = [sys.executable, __file__, "--contestant", contestant]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
        row = results[contestant] = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{contestant:>18} {row['first_draw_s']:9.1f} s {row['sampling_s']:8.1f} s "
            f"{row['ess']:6.0f} {row['ess_per_s']:8.1f}",
            flush=True,
        )
    packages = ("pymc", "pytensor", "jax", "numba", "nutpie", "numpyro", "pymc-extras")
    versions = {"python": platform.python_version(), **{p: version(p) for p in packages}}
    RESULTS.write_text(json.dumps({"versions": versions, "ways": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
