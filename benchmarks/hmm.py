"""Hidden Markov models: the log-likelihood and its gradient, beside other packages.

The claim: value and gradient (means, scales, initial probabilities, transition matrix; Normal
emissions; double precision; processor), through the PyTensor function a user gets, at least 4
times as fast as dynamax with up to 10 states, twice at 50, 1.5 times at 200, and never slower than
a forward-backward recursion written in Numba.

All in one process, in turns; the fastest and the median of the rounds. Peers:

naive        ``vmap(scan(logsumexp))`` in JAX, differentiated by JAX
dynamax      ``hmm_filter``, differentiated by JAX; on ragged sequences it computes the padding too
pymc-extras  ``marginalize`` of a ``DiscreteMarkovChain``, at one size, in two backends
NumPyro      its ``scan`` with the states enumerated, at one size
Numba        the textbook's recursions in scalar code
hmmlearn     the log-likelihood alone: it has no gradient
unpadded     this package on full sequences with as many observations as the ragged ones have

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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from hmmlearn.hmm import GaussianHMM
from jax import lax
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from pytensor.compile.mode import Mode
from pytensor.graph.replace import graph_replace
from scalar_forward_backward import value_and_gradients as scalar

import pymc_jaxdist as pmj

mpl.use("Agg")


class Case(NamedTuple):
    """The size of a problem, and in what it differs from the plain one."""

    sequences: int
    times: int
    states: int
    varying: bool = False
    ragged: bool = False

    def __str__(self) -> str:
        size = " × ".join(map(str, self[:3]))
        return size + ", varying" * self.varying + ", ragged" * self.ragged

    @property
    def plain(self) -> bool:
        return not (self.varying or self.ragged)


CASES = (
    Case(70, 51, 3),
    Case(1, 5000, 4),
    Case(1, 100_000, 3),
    Case(200, 200, 10),
    Case(1000, 100, 3),
    Case(5000, 50, 3),
    Case(20, 500, 50),
    Case(10, 200, 200),
    Case(100, 200, 5, varying=True),
    Case(300, 200, 4, ragged=True),
)
# pymc-extras and NumPyro take minutes to compile and call at the larger sizes.
LARGEST_OF_GENERAL_PEERS = 70 * 51 * 3
HERE = Path(__file__).parent
MODES = ("C", "NUMBA", "JAX")
CALLS_IN_A_ROW = 5
Parameters = tuple[np.ndarray, ...]


class Problem(NamedTuple):
    y: np.ndarray
    parameters: Parameters
    lengths: np.ndarray | None


def problem(case: Case) -> Problem:
    sequences, times, states = case[:3]
    rng = np.random.default_rng(20240)
    size = (times - 1, states) if case.varying else (states,)
    parameters = (
        np.linspace(-2, 2, states),
        np.full(states, 1.1),
        np.full(states, 1 / states),
        rng.dirichlet(np.ones(states), size=size),
    )
    y = rng.normal(scale=2.0, size=(sequences, times))
    lengths = rng.integers(10, times + 1, size=sequences) if case.ragged else None
    return Problem(y, parameters, lengths)


def compiled(
    build: Callable[..., pt.TensorVariable], given: Problem, mode: str
) -> Callable[[], Any]:
    """Return the call of a PyTensor function of the value and its gradients."""
    inputs = [pt.tensor(dtype="float64", shape=x.shape) for x in given.parameters]
    logp = build(given, *inputs)
    outputs = [logp, *pytensor.grad(logp, inputs)]
    chosen = Mode(linker="cvm", optimizer="fast_run") if mode == "C" else mode
    function = pytensor.function(inputs, outputs, mode=chosen)
    function.trust_input = True
    if mode == "JAX":
        return lambda: jax.block_until_ready(function(*given.parameters))
    return lambda: function(*given.parameters)


def ours(
    given: Problem,
    mu: pt.TensorVariable,
    sigma: pt.TensorVariable,
    start: pt.TensorVariable,
    matrix: pt.TensorVariable,
) -> pt.TensorVariable:
    with pm.Model() as model:
        emission = pm.Normal.dist(mu, sigma)
        pmj.MarginalHMM("y", emission, matrix, start, observed=given.y, lengths=given.lengths)
    return model.logp()


def pymc_extras(given: Problem, *inputs: pt.TensorVariable) -> pt.TensorVariable:
    from pymc_extras import marginalize
    from pymc_extras.distributions import DiscreteMarkovChain

    names = ("mu", "sigma", "start", "matrix")
    with pm.Model() as model:
        mu, sigma, start, matrix = (
            pm.Flat(name, shape=x.type.shape) for name, x in zip(names, inputs, strict=True)
        )
        states = DiscreteMarkovChain(
            "states", P=matrix, init_dist=pm.Categorical.dist(p=start), shape=given.y.shape
        )
        pm.Normal("y", mu[states], sigma[states], observed=given.y)
    marginal = marginalize(model, ["states"])
    values = [marginal.rvs_to_values[marginal[name]] for name in names]
    return graph_replace(marginal.logp(), dict(zip(values, inputs, strict=True)))


def of_jax(given: Problem, one: Callable) -> Callable[[], Any]:
    series, arguments = jnp.asarray(given.y), tuple(map(jnp.asarray, given.parameters))
    used = None
    if given.lengths is not None:
        used = jnp.arange(given.y.shape[1]) < jnp.asarray(given.lengths)[:, None]

    def log_likelihood(mu: jax.Array, sigma: jax.Array, *chain: jax.Array) -> jax.Array:
        evidence = norm.logpdf(series[..., None], mu, sigma)
        if used is not None:
            evidence = jnp.where(used[..., None], evidence, 0.0)
        return jax.vmap(lambda own: one(own, *chain))(evidence).sum()

    function = jax.jit(jax.value_and_grad(log_likelihood, argnums=(0, 1, 2, 3)))
    return lambda: jax.block_until_ready(function(*arguments))


def naive(evidence: jax.Array, start: jax.Array, matrix: jax.Array) -> jax.Array:
    matrices = jnp.broadcast_to(matrix, (len(evidence) - 1, *matrix.shape[-2:]))

    def step(log_alpha: jax.Array, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        emitted, now = at
        return logsumexp(log_alpha[:, None] + jnp.log(now), axis=0) + emitted, None

    return logsumexp(lax.scan(step, jnp.log(start) + evidence[0], (evidence[1:], matrices))[0])


def dynamax(evidence: jax.Array, start: jax.Array, matrix: jax.Array) -> jax.Array:
    # Starts JAX when it is imported, which must be after the settings of `pymc_jaxdist`.
    from dynamax.hidden_markov_model import hmm_filter

    return hmm_filter(start, matrix, evidence).marginal_loglik


def enumerated_by_numpyro(given: Problem) -> Callable[[], Any]:
    import funsor  # noqa: F401
    import numpyro
    from numpyro import distributions as dist
    from numpyro.contrib.control_flow import scan
    from numpyro.contrib.funsor import enum, log_density

    series, arguments = jnp.asarray(given.y), tuple(map(jnp.asarray, given.parameters))

    def model(mu: jax.Array, sigma: jax.Array, start: jax.Array, matrix: jax.Array) -> None:
        def state_and_observation(name: str, probs: jax.Array, observed: jax.Array) -> jax.Array:
            with numpyro.plate("sequences", len(series)):
                state = numpyro.sample(
                    f"{name}state", dist.Categorical(probs), infer={"enumerate": "parallel"}
                )
                numpyro.sample(f"{name}y", dist.Normal(mu[state], sigma[state]), obs=observed)
            return state

        def step(state: jax.Array, observed: jax.Array) -> tuple[jax.Array, None]:
            return state_and_observation("", matrix[state], observed), None

        scan(step, state_and_observation("first ", start, series[:, 0]), series[:, 1:].T)

    def log_likelihood(*parameters: jax.Array) -> jax.Array:
        enumerated = enum(model, first_available_dim=-2)
        return log_density(enumerated, parameters, {}, {})[0]

    function = jax.jit(jax.value_and_grad(log_likelihood, argnums=(0, 1, 2, 3)))
    return lambda: jax.block_until_ready(function(*arguments))


def hmmlearn(given: Problem) -> Callable[[], Any]:
    mu, sigma, start, matrix = given.parameters
    model = GaussianHMM(len(mu), covariance_type="diag")
    model.startprob_, model.transmat_ = start, matrix
    model.means_, model.covars_ = mu[:, None], sigma[:, None] ** 2
    column, lengths = given.y.reshape(-1, 1), [given.y.shape[1]] * len(given.y)
    return lambda: (model.score(column, lengths),)


def unpadded(case: Case, given: Problem) -> Callable[[], Any]:
    assert given.lengths is not None
    sequences = round(given.lengths.sum() / case.times)
    full = Problem(given.y[:sequences], given.parameters, None)
    return compiled(ours, full, "NUMBA")


def measure(case: Case, seconds: float) -> dict[str, dict[str, float]]:
    given = problem(case)
    contestants: dict[str, Callable[[], Any]] = {
        f"ours, {m}": compiled(ours, given, m) for m in MODES
    }
    contestants |= {"dynamax": of_jax(given, dynamax), "naive": of_jax(given, naive)}
    if case.plain:
        contestants |= {
            "Numba": lambda: scalar(given.y, *given.parameters),
            "hmmlearn": hmmlearn(given),
        }
        if given.y.size * case.states <= LARGEST_OF_GENERAL_PEERS:
            contestants |= {
                "pymc-extras, NUMBA": compiled(pymc_extras, given, "NUMBA"),
                "pymc-extras, JAX": compiled(pymc_extras, given, "JAX"),
                "NumPyro": enumerated_by_numpyro(given),
            }
    if case.ragged:
        contestants["unpadded"] = unpadded(case, given)
    rows: dict[str, dict[str, float]] = {}
    for name, call in contestants.items():
        begin = time.perf_counter()
        value, *_ = jax.tree.leaves(call())
        rows[name] = {"first_call_s": time.perf_counter() - begin, "value": float(value)}
    reference = rows["dynamax"]["value"]
    for name, row in rows.items():
        if name == "unpadded":
            continue
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
            rows["dynamax"]["fastest_ms"] / rows[name]["fastest_ms"] if name in rows else np.nan
            for rows in results.values()
        ]
        positions = np.arange(len(results)) + (i - 1.5) * 0.2
        ax.bar(positions, ratios, width=0.19, color=colour, label=label)
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set_yscale("log", base=2)
    ax.set_yticks([0.125, 0.25, 0.5, 1, 2, 4, 8], ["⅛", "¼", "½", "1", "2", "4", "8"])
    ax.set_xticks(
        range(len(results)),
        [x.replace(" × ", "\n× ").replace(", ", "\n") for x in results],
        fontsize=8,
    )
    ax.set_xlabel("sequences × times × states")
    ax.set_ylabel("times as fast as dynamax")
    fig.legend(fontsize=8, ncols=4, frameon=False, loc="outside upper center")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="per size")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of sizes; saves nothing")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    results = {}
    print(f"{'N x T x K':>22} {'':>18} {'fastest':>11} {'median':>11}  as dynamax")
    only = arguments.only
    for case in CASES if only is None else [CASES[i] for i in only]:
        size = str(case)
        rows = results[size] = measure(case, arguments.seconds)
        for name, row in rows.items():
            ratio = rows["dynamax"]["fastest_ms"] / row["fastest_ms"]
            print(
                f"{size:>22} {name:>18} {row['fastest_ms']:8.3f} ms {row['median_ms']:8.3f} ms"
                f"  {ratio:6.2f}",
                flush=True,
            )
    if only is not None:
        return
    packages = ("pymc", "pytensor", "jax", "numba", "dynamax", "hmmlearn", "numpyro", "pymc-extras")
    versions = {"python": platform.python_version(), **{p: version(p) for p in packages}}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "hmm.json").write_text(
        json.dumps({"versions": versions, "sizes": results}, indent=2) + "\n"
    )
    draw(results, HERE.parent / "docs" / "images" / "hmm_speed.png")


if __name__ == "__main__":
    main()
