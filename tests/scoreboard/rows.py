"""The rows of the scoreboard: a claim, its target, and how it is measured.

Nothing is measured by code of its own where a test measures it already: the rows call the tests'
functions, with more examples.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pymc as pm
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pymc_jaxdist.errors import JaxDistError
from tests import strategies
from tests.contract import graphs, measures, models, test_models
from tests.contract.registry import ENTRIES
from tests.error_catalogue import CATALOGUE, complaint
from tests.kernels import comparisons, test_marginal_value
from tests.kernels.ode import problems, test_solve
from tests.reference import hidden_markov as reference
from tests.system import test_faults, test_memory, test_threads
from tests.system.import_cost import import_cost
from tests.system.run_script import run_script
from tests.system.small_model import small_model

__all__ = ["ROWS", "Measured", "Row"]

Measured = Iterator[tuple[str, float]]
DISTRIBUTIONS = [name for name, entry in ENTRIES.items() if entry.is_distribution]
SYSTEM = Path(__file__).parents[1] / "system"
ROOT = Path(__file__).parents[2]


class Row(NamedTuple):
    """A claim.

    Attributes
    ----------
    title : str
    target : str
        As the table shows it: a comparison and a number, ``"<= 1e-12"``.
    measure : callable
        ``measure(full)`` gives pairs of what was measured and the value.
    fast : bool
        Whether it is part of ``make test``, with ``full=False``.
    """

    title: str
    target: str
    measure: Callable[[bool], Measured]
    fast: bool = False

    def meets(self, value: float) -> bool:
        """Tell whether a value meets the target."""
        relation, bound = self.target.split(" ")[:2]
        compare = {
            "<=": lambda: value <= float(bound),
            "<": lambda: value < float(bound),
            ">": lambda: value > float(bound),
            "=": lambda: value == float(bound),
        }
        return bool(compare[relation]())


ROWS: list[Row] = []


def row(title: str, target: str, *, fast: bool = False) -> Callable:
    """Add a row that is measured by the decorated function."""

    def add(measure: Callable[[bool], Measured]) -> Callable[[bool], Measured]:
        ROWS.append(Row(title, target, measure, fast))
        return measure

    return add


def worst(strategy: st.SearchStrategy, error: Callable, n_examples: int) -> float:
    """Return the largest error over so many examples, the same ones each time."""
    errors = []

    @settings(
        max_examples=n_examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: strategies.Problem) -> None:
        errors.append(error(example))

    run()
    assert len(errors) >= n_examples, f"{len(errors)} examples only"
    return float(max(errors))


def value_error(log_likelihood: Callable) -> Callable:
    """Return the error of the kernel against a reference, for one problem."""

    def error(problem: strategies.Problem) -> float:
        expected = test_marginal_value.expected_values(problem, log_likelihood)
        return comparisons.relative_error(comparisons.value(*problem), expected)

    return error


@row("HMM log-likelihood against NumPy, worst relative error", "<= 1e-12", fast=True)
def forward_algorithm(full: bool) -> Measured:
    n = 10_000 if full else 100
    yield (
        f"MarginalHMM, {n:,} problems",
        worst(strategies.problems(), value_error(reference.log_likelihood), n),
    )


@row("HMM log-likelihood against all K^T paths, worst relative error", "<= 1e-12", fast=True)
def enumeration(full: bool) -> Measured:
    n = 3000 if full else 50
    problems = strategies.problems(strategies.ENUMERABLE)

    def brute_force(*sequence: np.ndarray) -> float:
        return reference.brute_force(*sequence)[0]

    yield f"MarginalHMM, {n:,} problems", worst(problems, value_error(brute_force), n)


@row("Gradient against central differences, worst error", "<= 1e-6")
def gradients(full: bool) -> Measured:
    for name in ENTRIES:
        seeds = range(3, 13 if full else 4)
        yield name, max(measures.gradient_error(name, seed=seed) for seed in seeds)


def nan_in_gradients(problem: strategies.Problem) -> int:
    _, gradient = comparisons.value_and_gradient(*problem, np.ones(problem.batch))
    return sum(int(np.isnan(g).sum()) for g in gradient)


def nan_in_values(problem: strategies.Problem) -> int:
    return int(np.isnan(comparisons.value(*problem)).sum())


@row("NaN gradients with structural zeros", "= 0", fast=True)
def structural_zeros(full: bool) -> Measured:
    n = 2000 if full else 50
    cases = strategies.CASES if full else strategies.ENUMERABLE[2:4]
    problems = strategies.problems(cases, zeros=(0.4, 0.7))
    yield f"MarginalHMM, {n:,} problems", worst(problems, nan_in_gradients, n)


@row("NaN instead of minus infinity", "= 0", fast=True)
def impossible_sequences(full: bool) -> Measured:
    n = 2000 if full else 50
    yield (
        f"MarginalHMM, {n:,} problems",
        worst(strategies.problems(zeros=(0.4, 0.7)), nan_in_values, n),
    )


@row("ODE solution against SciPy at 1e-12, error over requested tolerance", "<= 10")
def solutions(full: bool) -> Measured:
    for name, methods, reverse in test_solve.RUNS:
        if any(type(method).__name__ == "RK4" for method in methods):
            continue  # fixed steps have no tolerance
        case = problems.CASES[name]
        states, _ = test_solve.truth(name)
        start = problems.inputs(case)
        (_, solution), _ = test_solve.weighted(name, methods, reverse)(start.y0, start.theta, 1.0)
        requested = 1e-10 + 1e-8 * np.abs(states).max(axis=0)
        error = np.abs(np.asarray(solution.states[0]) - states) / requested
        label = " then ".join(type(method).__name__ for method in methods)
        yield f"{name}, {label}", float(error.max())


@row("ODE gradient against SciPy's forward sensitivities, worst relative error", "<= 1e-5")
def sensitivities(full: bool) -> Measured:
    for name, methods, reverse in test_solve.RUNS:
        case = problems.CASES[name]
        states, derivatives = test_solve.truth(name)
        weights = np.random.default_rng(1).normal(size=states.shape)
        start = problems.inputs(case)
        _, found = test_solve.weighted(name, methods, reverse)(start.y0, start.theta, weights)
        expected = np.einsum("tn,tnk->k", weights, derivatives)
        error = np.abs(np.concatenate([g[0] for g in found]) - expected)
        label = " then ".join(type(method).__name__ for method in methods)
        way = "reverse" if reverse else "forward"
        yield f"{name}, {label}, {way}", float((error / np.maximum(1, np.abs(expected))).max())


@row("Network log-likelihood against NumPy, worst relative error", "<= 1e-12")
def networks(full: bool) -> Measured:
    from tests.distributions import test_neural_net_observed as nets

    for kind in nets.NETWORKS:
        model, function = nets.compiled(kind)
        errors = []
        for seed in range(200 if full else 20):
            for scale in (1e-2, 0.3, 1.0, 3.0):
                point = nets.random_point(model, seed, scale)
                expected = nets.numpy_rows(point, kind == "equinox")
                errors.append(nets.relative_error(function(**point)[0], expected))
        yield f"NeuralNetObserved, {kind}", max(errors)


@row("C, Numba and JAX modes against the interpreter, worst relative error", "<= 1e-12")
def modes(full: bool) -> Measured:
    for name in ENTRIES:
        for mode in ("C", "Numba", "JAX"):
            yield f"{name}, {mode}", measures.mode_error(name, mode)


@row("Units together against units alone, worst relative error", "<= 1e-12")
def batches(full: bool) -> Measured:
    for name in ENTRIES:
        yield name, measures.batch_error(name)


@row("Shared against repeated parameters, worst relative error", "<= 1e-12")
def broadcasts(full: bool) -> Measured:
    for name in ENTRIES:
        yield name, measures.broadcast_error(name)


@row("Units in another order, worst relative error", "<= 1e-12")
def permutations(full: bool) -> Measured:
    for name in ENTRIES:
        yield name, measures.permutation_error(name)


@row("Bad inputs that raise a named error in the template, percent", "= 100")
def bad_inputs(full: bool) -> Measured:
    named = [isinstance(complaint(mistake), JaxDistError) for mistake in CATALOGUE.values()]
    assert len(named) >= 60
    yield f"{len(named)} inputs", 100.0 * np.mean(named)


@row("NaN, infinity and what is out of the domain in every argument: wrong answers", "= 0")
def impossible_arguments(full: bool) -> Measured:
    for name in ENTRIES:
        trials = {**measures.impossible_values(name), **measures.refused_constants(name)}
        yield f"{name}, {len(trials)} trials", len(trials) - sum(trials.values())


@row("Single precision: computed in double, worst relative error", "<= 1e-12")
def single_precision(full: bool) -> Measured:
    for name in ENTRIES:
        yield name, measures.single_precision_error(name)


@row("Single precision in JAX mode is refused", "= 1")
def single_precision_in_jax(full: bool) -> Measured:
    for name in ENTRIES:
        yield name, int(measures.refuses_single_precision_in_jax_mode(name))


@row("Copies with the same density: pickle, cloudpickle, deepcopy", "= 3 of 3")
def copies(full: bool) -> Measured:
    for name in ENTRIES:
        op = models.log_density_op(models.model(name))
        yield name, sum(copy(op) == op for copy in test_models.COPIES.values())


@row("Same density in other processes: spawn, forkserver", "= 2 of 2")
def processes(full: bool) -> Measured:
    done = run_script("evaluate_in_children.py", timeout=300)
    results = json.loads(done.stdout)
    parent = results.pop("parent")
    yield "one model and one Op", sum(np.allclose(r, parent, rtol=1e-14) for r in results.values())


@row("Parallel chains that hang or fail, of 10 runs with and 10 without a main guard", "= 0")
def forks(full: bool) -> Measured:
    times = 10 if full else 1
    done = subprocess.run(
        [sys.executable, str(SYSTEM / "repeat_fork_check.py"), "--times", str(times)],
        capture_output=True,
        text=True,
        check=False,
    )
    yield "products of matrices", 2 * times - len(done.stdout.splitlines())


@row("Solver that fails for 30 % of the prior: draws that are not finite", "= 0")
def failing_solver(full: bool) -> Measured:
    share, failures, draws = test_faults.sample_where_the_solver_fails()
    counted = failures.get("ODE log-likelihood", 0)
    assert counted > 0
    label = f"ODEObserved, {share:.0%} of the prior fails, {counted} failures counted"
    yield label, int((~np.isfinite(draws)).sum())


@row("A killed worker: seconds until sampling ends with an error", "< 20")
def killed_worker(full: bool) -> Measured:
    told = test_faults.after_a_killed_worker()
    assert told["workers"] == told["zombies"] == "[]"
    assert "Error" in told["raised"]
    yield f"one of two; {told['raised'].split(':')[0]}", float(told["after"].removesuffix(" s"))


@row("Draws returned after an interrupt", "> 0")
def interrupts(full: bool) -> Measured:
    yield "one process", test_faults.draws_after_an_interrupt()["posterior"]["mu"].shape[1]
    done = run_script("interrupt_sampling.py", 2, timeout=300)
    yield "two processes", int(done.stdout.split()[1])


@row("8 threads of 1,000 calls each: results that differ in any bit", "= 0")
def threads(full: bool) -> Measured:
    model = test_threads.build_model()
    function, points = test_threads.build_function(model), test_threads.build_points(model)
    serial = np.array([np.concatenate([np.ravel(x) for x in function(p)]) for p in points])
    copies = [function.copy(share_memory=False) for _ in range(test_threads.N_THREADS)]
    results = test_threads.in_threads(copies, points)
    yield "MarginalHMM", sum(not test_threads.same_bits(r, serial) for r in results)


@row("Same seed, other draws", "= 0")
def seeds(full: bool) -> Measured:
    for name in DISTRIBUTIONS:
        parameters = graphs.arguments(name, "of units", measures.N_DRAWS)
        first, second = (graphs.draws(name, parameters, measures.N_DRAWS, 7) for _ in range(2))
        yield name, int((first != second).sum())


@row("Traces of a model over 1,000 evaluations", "= 1")
def traces(full: bool) -> Measured:
    for name in ENTRIES:
        function = graphs.log_density(name, "of units")
        value, parameters = graphs.observed(name), graphs.arguments(name, "of units")
        compiled = models.compiled_kernel(function)
        function(value, *parameters)
        before = compiled._cache_size()
        for _ in range(1000):
            function(value, *parameters)
        yield name, compiled._cache_size() - before + 1


@row("Memory left behind by 100,000 evaluations, MB", "< 20")
def memory(full: bool) -> Measured:
    function, start = test_memory.compiled_function(small_model())
    points = start + 0.1 * np.random.default_rng(1).normal(size=(1000, start.size))
    for point in points:
        function(point)
    before = test_memory.resident_memory()
    for _ in range(100 if full else 5):
        for point in points:
            function(point)
    yield "MarginalHMM", (test_memory.resident_memory() - before) / test_memory.MEGABYTE


@row("A cell that builds models runs 50 times: functions compiled again", "= 0")
def notebook(full: bool) -> Measured:
    yield "HMM, ODE, network and own density in one model", notebook_runs(50 if full else 12)[0]


@cache
def notebook_runs(times: int) -> tuple[float, float]:
    """Run the cell in a process of its own, whose memory nothing else has used."""
    code = "from tests.system.test_notebook_cell import repeat_the_cell as r; "
    code += f"print(*r({times}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    compiled, grown = done.stdout.split()
    return float(compiled), float(grown)


@row("A cell that builds models runs 50 times: memory left behind, MB", "< 20")
def memory_of_notebook(full: bool) -> Measured:
    yield "the same", notebook_runs(50 if full else 12)[1]


@row("Seconds of import beyond PyMC and JAX", "< 0.5")
def imports(full: bool) -> Measured:
    yield "pymc_jaxdist", min(import_cost().seconds for _ in range(5 if full else 3))


@row("JAX backends started by the import", "= 0")
def backends(full: bool) -> Measured:
    yield "pymc_jaxdist", import_cost().backends


@row("Scores at the parameters of draws, largest, in standard errors", "< 4")
def scores(full: bool) -> Measured:
    for name in DISTRIBUTIONS:
        yield name, max(measures.score_test(name).values())


@row("Geweke's joint test of draws and density, largest, in standard errors", "< 4")
def joint(full: bool) -> Measured:
    for name in DISTRIBUTIONS:
        result = measures.joint_test(name, steps=100 if full else 25)
        del result["accepted"]
        yield name, max(map(abs, result.values()))


@row("Samplers on a model of all distributions: posterior means, in standard errors", "< 5")
def samplers(full: bool) -> Measured:
    from tests.statistical.monte_carlo import standard_errors_apart
    from tests.system.model_of_everything import model_of_everything
    from tests.system.test_samplers_agree import SAMPLERS

    model, reference = model_of_everything(), None
    for label, arguments in SAMPLERS.items():
        with model:
            idata = pm.sample(
                1000, tune=500, chains=2, random_seed=2, progressbar=False, **arguments
            )
        draws = {name: idata["posterior"][name].values for name in ("shift", "scale")}
        if reference is None:
            reference = draws
            continue
        apart = [standard_errors_apart(draws[name], reference[name]) for name in draws]
        yield f"{label} against PyMC's", float(np.abs(apart).max())


@row("Simulation-based calibration, smallest p-value (Holm)", "> 0.01")
def calibrated(full: bool) -> Measured:
    from tests.statistical import calibration as sbc

    p_values = {}
    for name, build in sbc.MODELS.items():
        n_simulations = sbc.SIMULATIONS[name] if full else 100
        ranks = sbc.calibration(build, n_simulations)
        p_values[f"{name}, {n_simulations} simulations"] = sbc.uniformity(ranks, 120)
    total = sum(map(len, p_values.values()))
    for name, own in p_values.items():
        yield name, float(min(1.0, own.min() * total))


@row("posteriordb: largest difference of a posterior mean, in Monte Carlo errors", "< 4")
def posteriordb(full: bool) -> Measured:
    from tests.statistical import test_hmm_example, test_ode_posteriors

    yield "hmm_example", test_hmm_example.largest_difference(test_hmm_example.sample())
    yield "hudson_lynx_hare", test_ode_posteriors.largest_difference()
