"""Hidden Markov models: the log-likelihood and its gradient, beside other packages.

The claim: value and gradient (means, scales, initial probabilities, transition matrix; Normal
emissions; double precision; processor), through the PyTensor function a user gets, at least 4
times as fast as dynamax with up to 10 states, twice at 50, 1.5 times at 200, and never slower than
a forward-backward recursion written in Numba.

All in one process, in turns; the fastest and the median of the rounds. Peers:

naive     ``vmap(scan(logsumexp))`` in JAX, differentiated by JAX
dynamax   ``hmm_filter``, differentiated by JAX
Numba     the textbook's recursions in scalar code
hmmlearn  the log-likelihood alone: it has no gradient

Run: ``python benchmarks/hmm.py [--seconds 3]``
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from dynamax.hidden_markov_model import hmm_filter
from hmmlearn.hmm import GaussianHMM
from jax import lax
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from pytensor.compile.mode import Mode
from scalar_forward_backward import value_and_gradients as scalar

import pymc_jaxdist as pmj
from pymc_jaxdist.ops.backend import prepare_backend

mpl.use("Agg")

SIZES = (
    (70, 51, 3),
    (1, 5000, 4),
    (1, 100_000, 3),
    (200, 200, 10),
    (1000, 100, 3),
    (5000, 50, 3),
    (20, 500, 50),
    (10, 200, 200),
)
HERE = Path(__file__).parent
MODES = ("C", "NUMBA")
CALLS_IN_A_ROW = 5
Parameters = tuple[np.ndarray, ...]


def problem(shape: tuple[int, int, int]) -> tuple[np.ndarray, Parameters]:
    sequences, times, states = shape
    rng = np.random.default_rng(20240)
    parameters = (
        np.linspace(-2, 2, states),
        np.full(states, 1.1),
        np.full(states, 1 / states),
        rng.dirichlet(np.ones(states), size=states),
    )
    return rng.normal(scale=2.0, size=(sequences, times)), parameters


def ours(y: np.ndarray, parameters: Parameters, mode: str) -> Callable[[], Any]:
    inputs = [pt.tensor(dtype="float64", shape=x.shape) for x in parameters]
    mu, sigma, start, matrix = inputs
    with pm.Model():
        hmm = pmj.MarginalHMM("y", pm.Normal.dist(mu, sigma), matrix, start, observed=y)
    logp = pm.logp(hmm, y).sum()
    outputs = [logp, *pytensor.grad(logp, inputs)]
    chosen = "NUMBA" if mode == "NUMBA" else Mode(linker="cvm", optimizer="fast_run")
    function = pytensor.function(inputs, outputs, mode=chosen)
    function.trust_input = True
    return lambda: function(*parameters)


def of_jax(y: np.ndarray, parameters: Parameters, one: Callable) -> Callable[[], Any]:
    series, arguments = jnp.asarray(y), tuple(map(jnp.asarray, parameters))

    def log_likelihood(mu: jax.Array, sigma: jax.Array, *chain: jax.Array) -> jax.Array:
        evidence = norm.logpdf(series[..., None], mu, sigma)
        return jax.vmap(lambda own: one(own, *chain))(evidence).sum()

    compiled = jax.jit(jax.value_and_grad(log_likelihood, argnums=(0, 1, 2, 3)))
    return lambda: jax.block_until_ready(compiled(*arguments))


def naive(evidence: jax.Array, start: jax.Array, matrix: jax.Array) -> jax.Array:
    def step(log_alpha: jax.Array, emitted: jax.Array) -> tuple[jax.Array, None]:
        return logsumexp(log_alpha[:, None] + jnp.log(matrix), axis=0) + emitted, None

    return logsumexp(lax.scan(step, jnp.log(start) + evidence[0], evidence[1:])[0])


def dynamax(evidence: jax.Array, start: jax.Array, matrix: jax.Array) -> jax.Array:
    return hmm_filter(start, matrix, evidence).marginal_loglik


def hmmlearn(y: np.ndarray, parameters: Parameters) -> Callable[[], Any]:
    mu, sigma, start, matrix = parameters
    model = GaussianHMM(len(mu), covariance_type="diag")
    model.startprob_, model.transmat_ = start, matrix
    model.means_, model.covars_ = mu[:, None], sigma[:, None] ** 2
    column, lengths = y.reshape(-1, 1), [y.shape[1]] * len(y)
    return lambda: (model.score(column, lengths),)


def measure(shape: tuple[int, int, int], seconds: float) -> dict[str, dict[str, float]]:
    y, parameters = problem(shape)
    contestants: dict[str, Callable[[], Any]] = {
        f"ours, {m}": ours(y, parameters, m) for m in MODES
    }
    contestants |= {
        "dynamax": of_jax(y, parameters, dynamax),
        "Numba": lambda: scalar(y, *parameters),
        "naive": of_jax(y, parameters, naive),
        "hmmlearn": hmmlearn(y, parameters),
    }
    rows: dict[str, dict[str, float]] = {}
    for name, call in contestants.items():
        begin = time.perf_counter()
        value, *_ = jax.tree.leaves(call())
        rows[name] = {"first_call_s": time.perf_counter() - begin, "value": float(value)}
    reference = rows["dynamax"]["value"]
    for name, row in rows.items():
        assert abs(row["value"] / reference - 1) < 1e-9, (name, row["value"], reference)
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in contestants.items():
            # Several in a row, as a sampler calls them, so that none suffers from another's
            # use of the caches.
            for _ in range(CALLS_IN_A_ROW):
                begin = time.perf_counter()
                call()
                samples[name].append(time.perf_counter() - begin)
    for name, taken in samples.items():
        rows[name]["fastest_ms"] = 1e3 * min(taken)
        rows[name]["median_ms"] = 1e3 * statistics.median(taken)
    return rows


def draw(results: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    from matplotlib import pyplot as plt

    fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
    styles = {
        "ours, C": ("#0072B2", "this package, C backend"),
        "ours, NUMBA": ("#56B4E9", "this package, Numba backend"),
        "Numba": ("#E69F00", "scalar Numba"),
        "naive": ("#999999", "naive JAX scan"),
    }
    for i, (name, (colour, label)) in enumerate(styles.items()):
        ratios = [
            rows["dynamax"]["fastest_ms"] / rows[name]["fastest_ms"] for rows in results.values()
        ]
        positions = np.arange(len(results)) + (i - 1.5) * 0.2
        ax.bar(positions, ratios, width=0.19, color=colour, label=label)
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set_yscale("log", base=2)
    ax.set_yticks([0.125, 0.25, 0.5, 1, 2, 4, 8], ["⅛", "¼", "½", "1", "2", "4", "8"])
    ax.set_xticks(range(len(results)), [x.replace(" × ", "\n× ") for x in results], fontsize=8)
    ax.set_xlabel("sequences × times × states")
    ax.set_ylabel("times as fast as dynamax")
    ax.legend(fontsize=8, ncols=2, frameon=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="per size")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of sizes; saves nothing")
    arguments = parser.parse_args()
    prepare_backend()
    jax.config.update("jax_enable_x64", True)
    results = {}
    print(f"{'N x T x K':>16} {'':>12} {'fastest':>11} {'median':>11}  as dynamax")
    only = arguments.only
    for shape in SIZES if only is None else [SIZES[i] for i in only]:
        size = " × ".join(map(str, shape))
        rows = results[size] = measure(shape, arguments.seconds)
        for name, row in rows.items():
            ratio = rows["dynamax"]["fastest_ms"] / row["fastest_ms"]
            print(
                f"{size:>16} {name:>12} {row['fastest_ms']:8.3f} ms {row['median_ms']:8.3f} ms"
                f"  {ratio:6.2f}",
                flush=True,
            )
    if only is not None:
        return
    packages = ("pymc", "pytensor", "jax", "numba", "dynamax", "hmmlearn")
    versions = {"python": platform.python_version(), **{p: version(p) for p in packages}}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "hmm.json").write_text(
        json.dumps({"versions": versions, "sizes": results}, indent=2) + "\n"
    )
    draw(results, HERE.parent / "docs" / "images" / "hmm_speed.png")


if __name__ == "__main__":
    main()
