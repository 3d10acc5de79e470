"""nutpie's chains in threads: gradients per second on one core and on two.

A hidden Markov model of 70 sequences of 51 observations and 3 states, Normal emissions, all
parameters unknown. The claim: compiled by Numba as a whole it runs without Python, and two chains
on two cores take as long as one.

by Numba   as it is
by Python  the log-density called through Python, as that of an Op is that Numba knows nothing of:
           threads wait for the interpreter

Run: ``python benchmarks/nutpie_threads.py``
"""

import argparse
import subprocess
import sys
import time
from typing import Any

import numpy as np
import nutpie
import pymc as pm

import pymc_jaxdist as pmj

WAYS = ("Numba", "Python")
SEQUENCES, TIMES, STATES = 70, 51, 3
DRAWS = 300


def simulate() -> np.ndarray:
    rng = np.random.default_rng(20261122)
    stay = np.full((STATES, STATES), 0.05) + np.eye(STATES) * (1 - 0.05 * STATES)
    states = np.empty((SEQUENCES, TIMES), dtype=int)
    states[:, 0] = rng.integers(STATES, size=SEQUENCES)
    for t in range(1, TIMES):
        below = stay.cumsum(axis=1)[states[:, t - 1]]
        states[:, t] = (rng.random((SEQUENCES, 1)) > below).sum(axis=1)
    return np.array([-2.0, 0.0, 2.0])[states] + rng.normal(scale=0.7, size=states.shape)


def model() -> pm.Model:
    with pm.Model() as hidden_markov:
        transform = pm.distributions.transforms.ordered
        start = np.linspace(-1.0, 1.0, STATES)
        mu = pm.Normal("mu", 0.0, 3.0, shape=STATES, transform=transform, initval=start)
        sigma = pm.HalfNormal("sigma", 1.0)
        p0 = pm.Dirichlet("p0", a=np.ones(STATES))
        P = pm.Dirichlet("P", a=np.ones((STATES, STATES)))
        pmj.MarginalHMM("y", pm.Normal.dist(mu, sigma), P, p0, observed=simulate())
    return hidden_markov


def call_through_python() -> None:
    """Hide from Numba that it can compile hidden Markov models."""
    from pytensor.link.numba.dispatch.basic import numba_funcify

    from pymc_jaxdist.ops import LogDensity
    from pymc_jaxdist.ops.compat import numba_object_mode
    from pymc_jaxdist.ops.linkers import know_our_ops

    know_our_ops()  # Only the last registration counts.
    numba_funcify.register(LogDensity)(numba_object_mode)


def gradients_per_second(compiled: Any, chains: int, cores: int) -> float:
    begin = time.perf_counter()
    draws = nutpie.sample(
        compiled,
        draws=DRAWS,
        tune=DRAWS,
        chains=chains,
        cores=cores,
        seed=3,
        progress_bar=False,
        save_warmup=True,
    )
    taken = time.perf_counter() - begin
    steps = draws.sample_stats.n_steps.sum() + draws.warmup_sample_stats.n_steps.sum()
    return float(steps) / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--way", choices=WAYS, help="this one, in this process")
    way = parser.parse_args().way
    if way is None:
        for each in WAYS:
            subprocess.run([sys.executable, __file__, "--way", each], check=True)
        return
    if way == "Python":
        call_through_python()
    begin = time.perf_counter()
    compiled = nutpie.compile_pymc_model(model())
    gradients_per_second(compiled, 1, 1)
    print(f"by {way}: {time.perf_counter() - begin:.1f} s to compile and run once", flush=True)
    for chains, cores in ((1, 1), (2, 1), (2, 2), (4, 2)):
        speed = max(gradients_per_second(compiled, chains, cores) for _ in range(3))
        print(f"by {way}: {chains} chains on {cores} cores, {speed:.0f} gradients/s", flush=True)


if __name__ == "__main__":
    main()
