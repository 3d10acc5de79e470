"""Time the hidden Markov kernel against a naive scan and against dynamax.

Claim: value and gradient of `marginal_log_likelihood` are never slower than
``vmap(scan(logsumexp))`` with automatic differentiation, and much faster with many states.

All contestants compute the sum over sequences of the log-likelihood and its gradient with
respect to evidence, initial probabilities and transition matrix, in float64, compiled, in
one process, in turns. The number printed is the median over rounds; ratios are to the
naive scan.

Run: ``python benchmarks/hmm_kernel.py [--seconds 2]``
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp

from pymc_jaxdist.kernels import marginal_log_likelihood

jax.config.update("jax_enable_x64", True)

SIZES = {
    "70 x 51 x 3": (70, 51, 3),
    "1 x 5000 x 4": (1, 5000, 4),
    "200 x 200 x 10": (200, 200, 10),
    "20 x 500 x 50": (20, 500, 50),
}
RESULTS = Path(__file__).parent / "results" / "hmm_kernel.json"
LogLikelihood = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def naive(ll: jax.Array, start: jax.Array, matrix: jax.Array) -> jax.Array:
    log_matrix = jnp.log(matrix)

    def one(evidence: jax.Array) -> jax.Array:
        def step(log_alpha: jax.Array, emitted: jax.Array) -> tuple[jax.Array, None]:
            return logsumexp(log_alpha[:, None] + log_matrix, axis=0) + emitted, None

        return logsumexp(lax.scan(step, jnp.log(start) + evidence[0], evidence[1:])[0])

    return jax.vmap(one)(ll).sum()


def ours(ll: jax.Array, start: jax.Array, matrix: jax.Array) -> jax.Array:
    return marginal_log_likelihood(ll, start, matrix).sum()


def contestants() -> dict[str, LogLikelihood]:
    found: dict[str, LogLikelihood] = {"naive": naive, "ours": ours}
    try:
        from dynamax.hidden_markov_model import hmm_filter
    except ImportError:
        return found

    def dynamax(ll: jax.Array, start: jax.Array, matrix: jax.Array) -> jax.Array:
        return jax.vmap(lambda one: hmm_filter(start, matrix, one).marginal_loglik)(ll).sum()

    return {**found, "dynamax": dynamax}


def problem(shape: tuple[int, int, int]) -> tuple[jax.Array, jax.Array, jax.Array]:
    rng = np.random.default_rng(20240)
    states = shape[-1]
    matrix = rng.dirichlet(np.ones(states), size=states)
    start = rng.dirichlet(np.ones(states))
    return jnp.array(rng.normal(scale=2.0, size=shape)), jnp.array(start), jnp.array(matrix)


def measure(shape: tuple[int, int, int], seconds: float) -> dict[str, dict[str, float]]:
    arguments = problem(shape)
    compiled: dict[tuple[str, str], Callable[..., Any]] = {}
    rows: dict[str, dict[str, float]] = {}
    for name, function in contestants().items():
        row: dict[str, float] = {}
        kinds: dict[str, Callable[..., Any]] = {
            "value": function,
            "value_and_grad": jax.value_and_grad(function, (0, 1, 2)),
        }
        for kind, transformed in kinds.items():
            begin = time.perf_counter()
            executable = jax.jit(transformed).lower(*arguments).compile()
            row[f"{kind}_compile_s"] = time.perf_counter() - begin
            compiled[name, kind] = executable
        row["log_likelihood"] = float(compiled[name, "value"](*arguments))
        rows[name] = row
    times: dict[tuple[str, str], list[float]] = {key: [] for key in compiled}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, executable in compiled.items():
            begin = time.perf_counter()
            jax.block_until_ready(executable(*arguments))
            times[key].append(time.perf_counter() - begin)
    for (name, kind), samples in times.items():
        rows[name][f"{kind}_ms"] = 1e3 * statistics.median(samples)
    for row in rows.values():
        for kind in "value", "value_and_grad":
            row[f"{kind}_ratio"] = row[f"{kind}_ms"] / rows["naive"][f"{kind}_ms"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="per size")
    seconds = parser.parse_args().seconds
    results = {name: measure(shape, seconds) for name, shape in SIZES.items()}
    print(
        f"{'N x T x K':>16} {'':>8} {'value':>9} {'ratio':>6} {'+ grad':>9} {'ratio':>6} compiling"
    )
    for size, rows in results.items():
        for name, row in rows.items():
            print(
                f"{size:>16} {name:>8} {row['value_ms']:6.3f} ms {row['value_ratio']:6.2f} "
                f"{row['value_and_grad_ms']:6.3f} ms {row['value_and_grad_ratio']:6.2f}  "
                f"{row['value_compile_s']:.2f} + {row['value_and_grad_compile_s']:.2f} s"
            )
    RESULTS.parent.mkdir(exist_ok=True)
    versions = {"python": platform.python_version(), "jax": jax.__version__}
    report = {"versions": versions, "device": jax.devices()[0].platform, "sizes": results}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
