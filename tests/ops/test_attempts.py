"""A kernel in two attempts is the same function, and its second program waits until needed."""

import threading
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pytensor.compile.mode import Mode, get_mode

from pymc_jaxdist.ops import log_density
from pymc_jaxdist.ops.packed_call import PackedCall

MODES = {"C": Mode(linker="cvm", optimizer="fast_run"), "Numba": get_mode("NUMBA")}


@dataclass(frozen=True)
class Root:
    """Units ``-sqrt(y x)``, by one formula for small arguments and by another for large ones."""

    in_two_attempts: bool = True

    def __call__(self, y: jax.Array, x: jax.Array) -> jax.Array:
        return -jnp.sqrt(y * x)

    def foreseen(self, y: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.where(y * x > 100.0, jnp.nan, 0.0)

    def first_attempt(self, y: jax.Array, x: jax.Array) -> jax.Array:
        possible, small = y * x > 0.0, y * x < 4.0
        root = -jnp.exp(0.5 * jnp.log(jnp.where(possible & small, y * x, 1.0)))
        # NaN is what this kernel does not know; what it knows to be impossible it says.
        return jnp.where(possible, jnp.where(small, root, jnp.nan), -jnp.inf)

    def second_attempt(self, first: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
        left = jnp.isnan(first)
        return jnp.where(left, -((jnp.where(left, y * x, 1.0)) ** 0.5), -jnp.inf)


def reference(y, x):
    """Values, and the gradient of their sum, of the units whose value is possible."""
    product = y * x
    value = np.where(product >= 0, -np.sqrt(np.abs(product)), -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(product >= 0, -0.5 * np.sqrt(np.abs(product)) / x, 0.0)
    return value, slope.sum()


@pytest.fixture
def programs(monkeypatch):
    """Count the programs that are compiled."""
    compiled = []
    original = PackedCall.__init__

    def counting(self, *arguments, **options):
        compiled.append(self)
        original(self, *arguments, **options)

    monkeypatch.setattr(PackedCall, "__init__", counting)
    return compiled


def function_of(mode="C", kernel=None, y=None):
    data = pt.dvector("y") if y is None else pt.as_tensor(y)
    x = pt.dscalar("x")
    logp = log_density(kernel or Root(), data, x, batch_ndim=1, constant=(0,))
    inputs = [x] if y is not None else [data, x]
    return pytensor.function(inputs, [logp, pt.grad(logp.sum(), x)], mode=MODES[mode])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("y", [[1.0, 2.0], [8.0, 9.0, 10.0], [1.0, 9.0, 2.0, 16.0]])
def test_value_and_gradient(mode, y):
    y = np.array(y)
    found = function_of(mode)(y, 0.75)
    for mine, right in zip(found, reference(y, 0.75), strict=True):
        assert_allclose(mine, right, rtol=1e-14)
    assert all(np.asarray(x).flags.writeable for x in found)


def test_the_second_program_waits_until_a_unit_needs_it(programs):
    y = np.array([1.0, 1.25, 1.5, 1.75, 2.25])  # a shape that no other test has compiled
    function = function_of(y=y)
    function(0.5)
    assert len(programs) == 2  # the first of them says that the first attempt is not vain
    value, gradient = function(2.0)
    assert len(programs) == 3
    assert_allclose(value, reference(y, 2.0)[0], rtol=1e-14)
    assert_allclose(gradient, reference(y, 2.0)[1], rtol=1e-14)
    for x in (0.5, 3.0, 0.25):
        function(x)
    assert len(programs) == 3
    assert [program.traces for program in programs] == [1, 1, 1]


def test_the_first_program_waits_while_it_is_known_to_be_vain(programs):
    y = np.array([101.0, 102.0, 103.0, 104.0])
    function = function_of(y=y)
    for x in (1.0, 2.0):
        value, gradient = function(x)
        assert_allclose(value, reference(y, x)[0], rtol=1e-14)
        assert_allclose(gradient, reference(y, x)[1], rtol=1e-14)
    assert len(programs) == 2
    value, gradient = function(0.99)  # vain for some, not for all
    assert len(programs) == 3
    assert_allclose(value, reference(y, 0.99)[0], rtol=1e-14)
    assert_allclose(gradient, reference(y, 0.99)[1], rtol=1e-14)


def test_other_shapes(programs):
    function = function_of()
    for n in (1, 6, 7):
        y = np.linspace(1.0, 8.0, n)
        assert_allclose(function(y, 1.5)[0], reference(y, 1.5)[0], rtol=1e-14)


def test_impossible_units_are_decided():
    value, gradient = function_of()(np.array([-1.0, 1.0, 9.0]), 1.0)
    assert_array_equal(value, [-np.inf, -1.0, -3.0])
    assert_allclose(gradient, -0.5 - 1.5)
    value, gradient = function_of()(np.array([-1.0, -2.0]), 1.0)
    assert_array_equal(value, [-np.inf, -np.inf])
    assert gradient == 0.0


def test_a_kernel_may_have_one_attempt_only(programs):
    y = np.linspace(1.0, 9.0, 9)
    function = function_of(kernel=Root(in_two_attempts=False))
    assert_allclose(function(y, 1.0)[0], reference(y, 1.0)[0], rtol=1e-14)
    assert len(programs) == 1


def test_weights_and_second_derivatives():
    y = np.array([1.0, 9.0, 16.0])
    x = pt.dscalar("x")
    logp = log_density(Root(), y, x, batch_ndim=1, constant=(0,))
    weighted = pt.grad((logp * np.array([1.0, 2.0, 3.0])).sum(), x)
    curvature = pt.grad(pt.grad(logp.sum(), x), x)
    found = pytensor.function([x], [weighted, curvature], mode=MODES["C"])(1.0)
    assert_allclose(found, [-0.5 * (1 + 6 + 12), 0.25 * (1 + 3 + 4)])


def test_threads():
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    xs = np.linspace(0.1, 3.0, 50)
    expected = [reference(y, x) for x in xs]
    function = function_of(y=y)
    functions = [function] + [function.copy() for _ in range(3)]
    failures = []

    def run(function):
        for x, (value, gradient) in zip(xs, expected, strict=True):
            found = function(x)
            if not (np.allclose(found[0], value) and np.allclose(found[1], gradient)):
                failures.append(x)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
