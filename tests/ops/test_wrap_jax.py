"""What `pytensor.wrap_jax` cannot do, and `jax_function` can."""

import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from pytensor import wrap_jax
from pytensor.compile.mode import get_mode
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.blockwise import Blockwise

import pymc_jaxdist as pmj
from tests.distributions.compiled import FAST
from tests.ops.counting_kernel import count, counts

X = np.linspace(0.1, 1.0, 5)


def counted_exp(x):
    count("forward")
    counts["trace"] += 1
    return jnp.exp(x)


def value_and_gradient(wrap):
    x = pt.tensor("x", shape=(5,))
    logp = -0.5 * pt.sum((wrap(counted_exp)(x) - 1.0) ** 2)
    return pytensor.function([x], [logp, pt.grad(logp, x)], mode=FAST)


def test_both_agree():
    for ours, theirs in zip(
        value_and_gradient(pmj.jax_function)(X), value_and_gradient(wrap_jax)(X), strict=True
    ):
        assert_allclose(ours, theirs, rtol=1e-13)


def test_the_forward_pass_is_not_repeated():
    forwards = {}
    for name, wrap in (("ours", pmj.jax_function), ("theirs", wrap_jax)):
        function = value_and_gradient(wrap)
        function(X)
        jax.effects_barrier()
        counts.clear()
        function(X)
        jax.effects_barrier()
        forwards[name] = counts["forward"]
    assert forwards == {"ours": 1, "theirs": 2}


def test_a_second_call_compiles_nothing():
    traces = {}
    for name, wrap in (("ours", pmj.jax_function), ("theirs", wrap_jax)):
        value_and_gradient(wrap)(X)
        counts.clear()
        value_and_gradient(wrap)(X)
        traces[name] = counts["trace"]
    assert traces["ours"] == 0
    assert traces["theirs"] > 0


def test_double_precision_needs_no_setting():
    x = pt.dscalar("x")
    errors = {}
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, wrap in (("ours", pmj.jax_function), ("theirs", wrap_jax)):
            value = pytensor.function([x], wrap(lambda x: x / 3)(x), mode=FAST)(1.0)
            errors[name] = abs(float(value) - 1 / 3)
    assert errors["ours"] < 1e-16
    assert errors["theirs"] > 1e-9


def test_a_closure_pickles():
    scale = np.array(2.0)
    x = pt.tensor("x", shape=(5,))
    ours, theirs = (wrap(lambda x: scale * x)(x).owner.op for wrap in (pmj.jax_function, wrap_jax))
    assert pickle.loads(pickle.dumps(ours)) == ours
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        pickle.dumps(theirs)


def test_shapes_that_do_not_depend_on_unknown_ones_are_known():
    x, y = pt.tensor("x", shape=(None, 3)), pytensor.shared(np.ones((4, 3)), shape=(None, 3))
    assert pmj.jax_function(lambda x: x.sum(0))(x).type.shape == (3,)
    assert pmj.jax_function(lambda x: x * 2)(y).type.shape == (None, 3)
    assert wrap_jax(lambda x: x * 2)(y).type.shape == (None, None)
    with pytest.raises(ValueError, match="shape"):
        wrap_jax(lambda x: x.sum(0))(x)


def test_numba_mode_does_not_warn():
    x = pt.tensor("x", shape=(5,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function = pytensor.function([x], pmj.jax_function(jnp.exp)(x), mode=get_mode("NUMBA"))
    assert_allclose(function(X), np.exp(X))
    with pytest.warns(UserWarning, match="object mode"):
        pytensor.function([x], wrap_jax(jnp.exp)(x), mode=get_mode("NUMBA"))


def test_integer_inputs_need_no_gradient():
    x, powers = pt.dscalar("x"), pt.lvector("powers")
    total = pmj.jax_function(lambda x, powers: x**powers)(x, powers).sum()
    function = pytensor.function([x, powers], pt.grad(total, x), mode=FAST)
    assert_allclose(function(2.0, np.array([1, 3])), 13.0)


def test_vectorised_by_vmap():
    """PyTensor repeats an Op that it cannot vectorise row by row, in a loop in Python."""
    x, rows = pt.tensor("x", shape=(5,)), pt.tensor("rows", shape=(3, 5))
    loops = {}
    for name, wrap in (("ours", pmj.jax_function), ("theirs", wrap_jax)):
        batched = vectorize_graph(wrap(jnp.cumsum)(x), {x: rows})
        function = pytensor.function([rows], batched, mode=FAST)
        assert_allclose(function(np.tile(X, (3, 1)))[1], np.cumsum(X))
        nodes = function.maker.fgraph.apply_nodes
        loops[name] = any(isinstance(node.op, Blockwise) for node in nodes)
    assert loops == {"ours": False, "theirs": True}


def test_errors_name_what_went_wrong():
    with pytest.raises(pmj.errors.FunctionError, match=r"jax\.numpy"):
        pmj.jax_function(np.exp)(pt.dvector())
    with pytest.raises(jax.errors.TracerArrayConversionError):
        wrap_jax(np.exp)(pt.tensor("x", shape=(5,)))


def test_a_function_without_reverse_mode():
    def doubled_until_large(x):
        return jax.lax.while_loop(lambda x: x < 10, lambda x: 2 * x, x)

    x = pt.dscalar("x")
    ours = pmj.jax_function(doubled_until_large, derivatives="forward")
    assert_allclose(pt.grad(ours(x), x).eval({x: 3.0}), 4.0)
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        pt.grad(wrap_jax(doubled_until_large)(x), x).eval({x: 3.0}, mode=FAST)
