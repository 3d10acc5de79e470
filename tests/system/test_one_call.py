"""As PyMC compiles a model, an evaluation is one Op and at most one kernel call, and no trace."""

from collections import Counter

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.blocking import DictToArrayBijection
from pytensor.compile.mode import Mode, get_mode

from pymc_jaxdist.ops import LogDensity, log_density
from pymc_jaxdist.ops.packed_call import PackedCall
from tests.slow_cases import slow_except
from tests.system.small_model import small_model

MODES = {"C": Mode(linker="cvm", optimizer="fast_run"), "Numba": get_mode("NUMBA")}
# What an evaluation calls: Numba compiles a hidden Markov model whole.
CALLS = {"C": {"Op": 1, "kernel": 1}, "Numba": {}}

calls: Counter = Counter()
traces: dict[PackedCall, int] = {}


@pytest.fixture(scope="module", autouse=True)
def counted():
    """Count before anything is evaluated: what is compiled keeps what it finds then."""
    evaluation, bind = LogDensity.evaluation, PackedCall.bind

    def counting_evaluation(self, *arguments):
        evaluate = evaluation(self, *arguments)

        def counting_evaluate(inputs):
            calls["Op"] += 1
            return evaluate(inputs)

        return counting_evaluate

    def counting_bind(self, *arguments):
        call = bind(self, *arguments)

        def counting_call(inputs):
            calls["kernel"] += 1
            results = call(inputs)
            traces[self] = self.traces
            return results

        return counting_call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogDensity, "evaluation", counting_evaluation)
        patch.setattr(PackedCall, "bind", counting_bind)
        yield


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def start(model):
    return DictToArrayBijection.map(model.initial_point()).data


def log_density_nodes(function):
    nodes = function.maker.fgraph.toposort()
    return [node for node in nodes if isinstance(node.op, LogDensity)]


def square(x):
    return x**2


def test_the_counters_count():
    """Two densities are two calls: the tests below could fail."""
    x = pt.dvector("x")
    densities = [log_density(square, x, batch_ndim=1), log_density(square, x + 1, batch_ndim=1)]
    function = pytensor.function([x], densities, mode="FAST_COMPILE")
    calls.clear()
    function([1.0])
    assert calls == {"Op": 2, "kernel": 2}


@pytest.fixture(scope="module", params=slow_except(MODES, "C"))
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def value_and_gradient(model, mode):
    """The function that the NUTS of pm.sample evaluates, as PyMC itself compiles it."""
    step = pm.NUTS(model=model, compile_kwargs={"mode": MODES[mode]})
    return step._logp_dlogp_func._pytensor_function


def test_value_and_gradient_are_one_node(value_and_gradient):
    (node,) = log_density_nodes(value_and_gradient)
    assert len(node.op.wrt) == 3  # transition matrix, mean and standard deviation


def test_an_evaluation_is_one_call_or_none(value_and_gradient, mode, start):
    calls.clear()
    value, gradient = value_and_gradient(start)
    assert calls == CALLS[mode]
    assert np.isfinite(value)
    assert (gradient != 0).all()


def test_one_trace_in_a_thousand_evaluations(value_and_gradient, mode, start):
    value_and_gradient(start)
    before = dict(traces)
    rng = np.random.default_rng(1)
    calls.clear()
    for _ in range(1000):
        value_and_gradient(start + 0.1 * rng.normal(size=start.shape))
    assert calls == {name: 1000 * n for name, n in CALLS[mode].items()}
    assert traces == before
    assert set(traces.values()) <= {1}


@pytest.mark.parametrize(
    "compiled",
    [
        lambda model: model.compile_logp(mode="FAST_COMPILE"),
        lambda model: model.compile_logp(mode="FAST_COMPILE", sum=False),
        lambda model: model.compile_fn(model.observedlogp, mode="FAST_COMPILE"),
    ],
    ids=["compile_logp", "each unit", "observedlogp"],
)
def test_a_value_alone_computes_no_gradient(model, compiled):
    function = compiled(model)
    (node,) = log_density_nodes(function.f)
    assert node.op.wrt == ()
    calls.clear()
    function(model.initial_point())
    assert calls == {"Op": 1, "kernel": 1}


def test_a_gradient_alone_is_one_call(model):
    function = model.compile_dlogp(mode="FAST_COMPILE")
    (node,) = log_density_nodes(function.f)
    assert len(node.op.wrt) == 3
    calls.clear()
    function(model.initial_point())
    assert calls == {"Op": 1, "kernel": 1}
