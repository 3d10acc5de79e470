"""Numba without Python: the numbers of the JAX kernel, for every form of hidden Markov model."""

import os
import subprocess
import sys

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from pymc_jaxdist.ops import LogDensity, call_of_graph
from pymc_jaxdist.ops.kernel_op import KernelOp
from tests.reference import hidden_markov as reference
from tests.slow_cases import slow_except

RNG = np.random.default_rng(20261122)


@pytest.fixture
def python_calls(monkeypatch):
    """A list with an entry for each evaluation that the graph left to the kernel, in Python."""
    calls = []
    call_kernel, evaluation = LogDensity.call_kernel, KernelOp.evaluation

    def counted(op, *arguments):
        calls.append(op)
        return call_kernel(op, *arguments)

    def counted_evaluation(op, *arguments):
        evaluate = evaluation(op, *arguments)

        def counted(inputs):
            calls.append(op)
            return evaluate(inputs)

        return counted

    monkeypatch.setattr(LogDensity, "call_kernel", counted)
    monkeypatch.setattr(KernelOp, "evaluation", counted_evaluation)
    return calls


def value_and_gradients(inputs, logp, mode):
    return pytensor.function(inputs, [logp, *pt.grad(logp.sum(), inputs)], mode=mode)


def hidden_markov(y, emission, parameters, *, start=None, matrix=None, states=2, **options):
    """Return inputs, log-likelihoods and a point of a model of given observations.

    ``parameters`` are values of those of ``emission``; ``start`` and ``matrix`` are shapes, or
    ``start`` is "stationary".
    """
    stationary = start == "stationary"
    start = (states,) if stationary else start or (states,)
    matrix = matrix or (states, states)
    point = [
        *(np.asarray(x, dtype=float) for x in parameters),
        RNG.dirichlet(np.ones(states), size=start[:-1]) / states ** (options.get("order", 1) - 1),
        RNG.dirichlet(np.ones(states), size=matrix[:-1]),
    ]
    inputs = [pt.tensor(shape=x.shape, dtype="float64") for x in point]
    with pm.Model():
        initial_probs = "stationary" if stationary else inputs[-2]
        pmj.MarginalHMM(
            "y", emission(*inputs[:-2]), inputs[-1], initial_probs, observed=y, **options
        )
        (logp,) = pm.modelcontext(None).logp(sum=False)
    if stationary:
        del inputs[-2], point[-2]
    return inputs, logp, point


def assert_equal(results, expected):
    for ours, others in zip(results, expected, strict=True):
        scale = max(1.0, np.max(np.abs(others), initial=0.0, where=np.isfinite(others)))
        assert_allclose(ours, others, rtol=1e-12, atol=1e-12 * scale)


def assert_same_without_python(model, python_calls):
    inputs, logp, point = model
    expected = value_and_gradients(inputs, logp, "JAX")(*point)
    native = value_and_gradients(inputs, logp, "NUMBA")
    python_calls.clear()
    results = native(*point)
    assert not python_calls
    assert_equal(results, expected)


def normal(y, states=2, **options):
    locations = np.linspace(-1.0, 1.0, states)
    return hidden_markov(y, pm.Normal.dist, [locations, 0.8], states=states, **options)


def observations(*shape):
    return RNG.normal(size=shape)


def with_missing(*shape):
    y = observations(*shape)
    y[RNG.random(shape) < 0.3] = np.nan
    return y


SHAPES = {
    "one sequence": lambda: normal(observations(12)),
    "sequences": lambda: normal(observations(5, 12), 3),
    "two batch dimensions": lambda: normal(observations(2, 3, 7), 3),
    "more sequences than lanes": lambda: normal(observations(20, 9), 6),
    "one long sequence": lambda: normal(observations(1, 600), 3),
    "missing": lambda: normal(with_missing(4, 80)),
    "lengths": lambda: normal(observations(3, 8), 3, lengths=np.array([5, 8, 1])),
    "nothing observed": lambda: normal(observations(2, 8), lengths=np.zeros(2, dtype=int)),
    "lengths and known states": lambda: normal(
        with_missing(12, 40),
        lengths=RNG.integers(0, 41, size=12),
        allowed_states=RNG.integers(-1, 2, size=(12, 40)),
    ),
    "lengths of batches": lambda: normal(
        observations(2, 3, 8), lengths=RNG.integers(1, 9, size=(2, 3))
    ),
    "known states": lambda: normal(
        observations(2, 6), allowed_states=RNG.integers(-1, 2, size=(2, 6))
    ),
    "varying in time": lambda: normal(observations(3, 8), 3, matrix=(7, 3, 3)),
    "varying in time, lengths": lambda: normal(
        observations(20, 30), 3, matrix=(29, 3, 3), lengths=RNG.integers(0, 30, size=20)
    ),
    "a matrix each": lambda: normal(observations(3, 8), 3, matrix=(3, 1, 3, 3)),
    "all their own": lambda: normal(observations(3, 8), matrix=(3, 7, 2, 2), start=(3, 2)),
    "stationary": lambda: normal(with_missing(4, 30), 3, start="stationary"),
    "stationary, a matrix each": lambda: normal(
        observations(3, 8), 3, matrix=(3, 1, 3, 3), start="stationary"
    ),
    "order 2": lambda: normal(observations(3, 99), matrix=(2, 2, 2), start=(2, 2), order=2),
}


@pytest.mark.slow
def test_no_stationary_start(python_calls):
    """Of two classes of states, each keeps to itself: impossible, as the kernel says."""
    inputs, logp, (mu, sigma, _) = normal(observations(2, 5), 3, start="stationary")
    value, *gradients = value_and_gradients(inputs, logp, "NUMBA")(mu, sigma, np.eye(3))
    assert python_calls
    assert (value == -np.inf).all()
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("name", slow_except(SHAPES, "lengths and known states", "stationary"))
def test_every_shape(name, python_calls):
    assert_same_without_python(SHAPES[name](), python_calls)


RATES = np.array([0.7, 1.6])
COUNTS = RNG.poisson(3, size=(3, 90))
POSITIVE = RNG.gamma(2.0, size=(3, 90))
CASES = {
    "StudentT": (lambda a: pm.StudentT.dist(nu=4, mu=a, sigma=1.3), observations(3, 90)),
    "Poisson": (pm.Poisson.dist, COUNTS),
    "Poisson, missing": (pm.Poisson.dist, np.where(COUNTS == 2, np.nan, COUNTS)),
    "ZeroInflatedPoisson": (lambda a: pm.ZeroInflatedPoisson.dist(0.7, a), COUNTS),
    "Gamma": (lambda a: pm.Gamma.dist(a, 1.2), POSITIVE),
    "VonMises": (lambda a: pm.VonMises.dist(0.2, a), RNG.uniform(-3, 3, size=(3, 90))),
    "MvNormal": (
        lambda a: pm.MvNormal.dist(pt.stack([a, 2 * a], -1), np.eye(2)),
        observations(3, 90, 2),
    ),
    "Censored": (
        lambda a: pm.Censored.dist(pm.Normal.dist(a, 1.0), lower=-1, upper=1),
        np.clip(observations(3, 90), -1, 1),
    ),
    "a sum over the states": (
        lambda a: pm.CustomDist.dist(a, logp=lambda x, a: -((x - a) ** 2) - pt.sum(a)),
        observations(3, 90),
    ),
    "two channels": (
        lambda a: (pm.Poisson.dist(a), pm.Normal.dist(a, 1.0)),
        np.stack([COUNTS, with_missing(3, 90)], axis=-1),
    ),
}


@pytest.mark.parametrize("name", slow_except(CASES, "Poisson, missing"))
def test_every_kind_of_emission(name, python_calls):
    emission, y = CASES[name]
    assert_same_without_python(hidden_markov(y, emission, [RATES]), python_calls)


@pytest.fixture(scope="module")
def compiled():
    """Observations as an input, so that one function serves every example."""
    shapes = {"y": (4, 6), "mu": (3,), "sigma": (), "start": (3,), "matrix": (3, 3)}
    inputs = [pt.tensor(name, shape=shape, dtype="float64") for name, shape in shapes.items()]
    y, mu, sigma, start, matrix = inputs
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist(mu, sigma), matrix, start, shape=(4, 6))
    return [value_and_gradients(inputs, pm.logp(hmm, y), mode) for mode in ("NUMBA", "JAX")]


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.1, 3.0, 300.0]),
    zeros=st.booleans(),
    fault=st.sampled_from([None, "sigma", "start", "matrix", "mu", "nan in mu", "y"]),
)
def test_whatever_the_parameters(compiled, seed, spread, zeros, fault):
    """Underflow, structural zeros, and what is impossible: as the JAX kernel says."""
    rng = np.random.default_rng(seed)
    y, mu = rng.normal(scale=spread, size=(4, 6)), rng.normal(scale=spread, size=3)
    sigma, start = np.array(1.0), rng.dirichlet(np.ones(3))
    matrix = rng.dirichlet(np.ones(3), size=3)
    if zeros:
        matrix[np.arange(3), rng.permutation(3)] = 0.0
        matrix /= matrix.sum(axis=1, keepdims=True)
    match fault:
        case "sigma":
            sigma = np.array(-1.0)
        case "start":
            start = start * 1.1
        case "matrix":
            matrix[0] *= 0.9
        case "mu":
            mu[1] = np.inf
        case "nan in mu":
            mu[1] = np.nan
        case "y":
            y[2, 3] = np.inf
    native, kernel = (function(y, mu, sigma, start, matrix) for function in compiled)
    assert_equal(native, kernel)
    if fault is None:
        emitted = -0.5 * (y[..., None] - mu) ** 2 - 0.5 * np.log(2 * np.pi)
        own = [reference.log_likelihood(ll, start, matrix[None].repeat(5, 0)) for ll in emitted]
        assert_allclose(native[0], own, rtol=1e-12)


IMPOSSIBLE = [
    observations(4, 6),
    np.zeros(3),
    np.array(-1.0),
    np.ones(3) / 3,
    np.ones((3, 3)) / 3,
]
# Of one sequence; only the kernel knows the gradients of the others then.
PARTLY_IMPOSSIBLE = [observations(4, 6), np.zeros(3), np.array(1.0), *IMPOSSIBLE[3:]]
PARTLY_IMPOSSIBLE[0][0, 2] = np.inf


def test_impossible_evaluations_are_counted(compiled, python_calls):
    """Also those where nothing is possible, for which the kernel need not be compiled."""
    pmj.impossible_evaluations(reset=True)
    value, *gradients = compiled[0](*IMPOSSIBLE)
    assert (value == -np.inf).all()
    assert not any(gradient.any() for gradient in gradients)
    assert not python_calls
    assert pmj.impossible_evaluations() == {"hidden Markov log-likelihood": 1}
    value, *_ = compiled[0](*PARTLY_IMPOSSIBLE)
    assert np.isneginf(value).tolist() == [True, False, False, False]
    assert len(python_calls) == 1
    assert pmj.impossible_evaluations() == {"hidden Markov log-likelihood": 2}


def test_an_interrupt_comes_when_the_evaluation_has_ended(
    compiled, monkeypatch, wait_for_interrupt
):
    call_kernel, asked = LogDensity.call_kernel, []

    def interrupted(*arguments):
        asked.append(arguments)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return call_kernel(*arguments)

    monkeypatch.setattr(LogDensity, "call_kernel", interrupted)
    value, *_ = compiled[0](*PARTLY_IMPOSSIBLE)
    assert value[0] == -np.inf
    with pytest.raises(KeyboardInterrupt):
        wait_for_interrupt(seconds=10)


def test_an_error_in_python_ends_the_evaluation(compiled, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("out of luck")

    monkeypatch.setattr(LogDensity, "call_kernel", fail)
    with pytest.raises(RuntimeError, match="the error is printed above"):
        compiled[0](*PARTLY_IMPOSSIBLE)
    assert "ValueError: out of luck" in capsys.readouterr().err


KEPT = """
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numba import types
import pymc_jaxdist as pmj

for length in range({types_made_before}):
    types.UniTuple(types.float64, 100 + length)
scale = pt.dscalar()
with pm.Model() as model:
    emission = pm.Normal.dist([-1.0, 1.0], scale)
    pmj.MarginalHMM("y", emission, np.ones((2, 2)) / 2, np.ones(2) / 2, observed=np.arange(5.0))
logp = pytensor.function([scale], model.logp(), mode="NUMBA")
print(logp({scale}))
"""


@pytest.mark.slow
def test_a_later_process_finds_what_was_compiled(tmp_path):
    """And the way into Python from what was kept."""
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTENSOR_FLAGS": f"base_compiledir={tmp_path}",
    }

    def run(**how):
        command = [sys.executable, "-c", KEPT.format(**how)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout), sorted(tmp_path.rglob("*.nbc"))

    value, kept = run(scale=1.0, types_made_before=0)
    assert any("graph_or_op" in path.name for path in kept)
    assert run(scale=1.0, types_made_before=3) == (value, kept)
    assert run(scale=-1.0, types_made_before=3) == (-np.inf, kept)


C_SHAPES = ("sequences", "two batch dimensions", "lengths", "stationary")


@pytest.fixture
def always_by_graph(monkeypatch):
    """Let the C backend ask the graph at every size."""
    monkeypatch.setattr(call_of_graph, "SMALLEST_EVALUATION", 0)


@pytest.mark.parametrize("name", slow_except(C_SHAPES, "lengths"))
@pytest.mark.usefixtures("always_by_graph")
def test_the_c_backend_asks_the_graph_too(name, python_calls):
    inputs, logp, point = SHAPES[name]()
    expected = value_and_gradients(inputs, logp, "JAX")(*point)
    compiled = value_and_gradients(inputs, logp, "CVM")
    assert_equal(compiled(*point), expected)
    columns = [x.copy(order="F") for x in point]
    assert_equal(compiled(*columns), expected)
    assert not python_calls


def test_the_c_backend_asks_the_graph_where_evaluations_are_large(python_calls):
    for times, expected in (2**12 - 1, 1), (2**12, 0):
        inputs, logp, point = normal(observations(1, times), 4)
        python_calls.clear()
        pytensor.function(inputs, logp, mode="FAST_COMPILE")(*point)
        assert len(python_calls) == expected


@pytest.mark.usefixtures("always_by_graph")
def test_the_c_backend_asks_the_kernel_where_jax_has_an_accelerator(python_calls, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    inputs, logp, point = normal(observations(4, 6), 3)
    pytensor.function(inputs, logp, mode="FAST_COMPILE")(*point)
    assert len(python_calls) == 1


@pytest.mark.usefixtures("always_by_graph")
def test_the_c_backend_asks_the_kernel_where_the_graph_has_no_answer(python_calls):
    """Of impossible parameters it knows; of one impossible sequence among others it does not."""
    y = observations(4, 6)
    y[0, 2] = 1e200
    inputs, logp, point = normal(y, 3)
    compiled = value_and_gradients(inputs, logp, "CVM")
    mu, _, start, matrix = point
    value, *gradients = compiled(mu, np.array(-1.0), start, matrix)
    assert (value == -np.inf).all()
    assert not any(gradient.any() for gradient in gradients)
    assert not python_calls
    results = compiled(*point)
    assert np.isneginf(results[0]).tolist() == [True, False, False, False]
    assert len(python_calls) == 1
    assert_equal(results, value_and_gradients(inputs, logp, "JAX")(*point))


def test_data_can_be_replaced_by_longer_ones(python_calls):
    with pm.Model() as model:
        y = pm.Data("y", observations(2, 5))
        mu = pm.Normal("mu", shape=2)
        pmj.MarginalHMM("obs", pm.Normal.dist(mu, 1.0), np.eye(2), np.ones(2) / 2, observed=y)
        native, kernel = (model.compile_logp(mode=mode) for mode in ("NUMBA", "JAX"))
        for shape in ((2, 5), (3, 9)):
            pm.set_data({"y": observations(*shape)})
            python_calls.clear()
            assert_allclose(native({"mu": RATES}), kernel({"mu": RATES}), rtol=1e-12)
            assert not python_calls


@pytest.mark.slow
def test_a_model_that_numba_cannot_do_alone_uses_the_kernel(python_calls):
    """An emission written in JAX is the kernel's own."""
    mu, matrix = pt.tensor("mu", shape=(2,)), pt.tensor("matrix", shape=(2, 2))
    emission = pmj.JaxDist.dist(lambda y, mu: -((y - mu) ** 2), mu)
    hmm = pmj.MarginalHMM.dist(emission, matrix, shape=(2, 5))
    inputs, logp = [mu, matrix], pm.logp(hmm, observations(2, 5))
    point = [RATES, np.array([[0.9, 0.1], [0.3, 0.7]])]
    native = value_and_gradients(inputs, logp, "NUMBA")(*point)
    assert python_calls
    assert_equal(native, value_and_gradients(inputs, logp, "JAX")(*point))
