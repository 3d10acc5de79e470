"""Objects that are equal when they do the same."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytensor.tensor as pt
import pytest

from pymc_jaxdist.errors import FunctionError
from pymc_jaxdist.ops.by_value import ByValue

SCALE = 2.0


def closure(value):
    return lambda x: x * value


def nested(value):
    def outer(x):
        def inner(y):
            return y + value

        return inner(x)

    return outer


def recursive():
    def factorial(n):
        return 1 if n == 0 else n * factorial(n - 1)

    return factorial


def reads_a_global():
    return lambda x: SCALE * x


SAME = {
    "closures": lambda: closure(2.0),
    "of arrays": lambda: closure(np.arange(3.0)),
    "of JAX arrays": lambda: closure(jnp.arange(3.0)),
    "of random keys": lambda: closure(jax.random.key(1)),
    "of pytrees": lambda: closure({"a": [np.ones(2), None]}),
    "of functions": lambda: closure(closure(1)),
    "nested functions": lambda: nested(1.0),
    "recursion": recursive,
    "globals": reads_a_global,
    "partial": lambda: partial(closure(2.0), 1.0),
    "library functions": lambda: jnp.exp,
    "NaN": lambda: float("nan"),
    "slices and dtypes": lambda: (slice(1, 2), np.dtype("float32")),
}
DIFFERENT = {
    "numbers": (closure(2.0), closure(3.0)),
    "types of numbers": (closure(1), closure(1.0)),
    "arrays": (closure(np.ones(3)), closure(np.zeros(3))),
    "types of arrays": (closure(np.ones(3)), closure(np.ones(3, "float32"))),
    "code": (lambda x: x + 1, lambda x: x - 1),
    "inner functions": (nested(1.0), nested(2.0)),
    "library functions": (jnp.exp, jnp.log),
    "zero and minus zero": (0.0, -0.0),
}


@pytest.mark.parametrize("name", SAME)
def test_same(name):
    first, second = ByValue(SAME[name]()), ByValue(SAME[name]())
    assert first == second
    assert hash(first) == hash(second)
    copied = pickle.loads(pickle.dumps(first))
    assert copied == first


def test_compiled_functions():
    assert ByValue(jax.jit(closure(2.0))) == ByValue(jax.jit(closure(2.0)))
    assert ByValue(jax.jit(closure(2.0))) != ByValue(jax.jit(closure(3.0)))


@pytest.mark.parametrize("name", DIFFERENT)
def test_different(name):
    first, second = DIFFERENT[name]
    assert ByValue(first) != ByValue(second)


def test_a_global_that_changes(monkeypatch):
    before = ByValue(reads_a_global())
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert ByValue(reads_a_global()) != before


@pytest.mark.parametrize("build", [closure, nested, lambda x: partial(closure(1), x)])
def test_a_variable_of_a_model_is_found_wherever_it_hides(build):
    with pytest.raises(FunctionError, match="rate"):
        ByValue(build(pt.dscalar("rate")))
