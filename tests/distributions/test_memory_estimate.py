"""Inputs that would not fit into memory are refused, with the estimate, before anything is made."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pymc_jaxdist as pmj
from pymc_jaxdist.distributions import memory
from pymc_jaxdist.errors import JaxDistError, SizeError

MATRIX = np.array([[0.9, 0.1], [0.2, 0.8]])
GIGABYTE = 10**9


def rows(n, width):
    """Covariates of a known shape that take no memory."""
    return np.broadcast_to(np.zeros(width), (n, width))


def large_markov():
    return pmj.MarginalHMM.dist(pm.Normal.dist([0.0, 1.0], 1.0), MATRIX, shape=(10**7, 10**6))


def many_matrices():
    matrix = np.broadcast_to(np.eye(2), (10**7, 10**4 - 1, 2, 2))
    matrix = pt.tensor("P", shape=matrix.shape)
    return pmj.MarginalHMM.dist(
        pm.Normal.dist([0.0, 1.0], 1.0), matrix, "uniform", shape=(10**7, 10**4)
    )


def long_memory():
    emission = pmj.AutoRegressive(
        pm.Normal.dist(0.0, 1.0), np.zeros((2, 19)), mean=np.array([0.0, 1.0])
    )
    return pmj.MarginalHMM.dist(emission, MATRIX, shape=10**7)


def long_stays():
    return pmj.MarginalHSMM.dist(
        pm.Normal.dist([0.0, 1.0], 1.0), MATRIX, pm.Poisson.dist([1.0, 2.0]), steps=10**7
    )


def many_subjects(**arguments):
    return pmj.ODEObserved.dist(
        lambda t, y, p: -p * y,
        params=1.0,
        y0=[1.0],
        times=np.arange(1.0, 101.0),
        observe=0,
        likelihood=lambda y: pm.Normal.dist(y, 1.0),
        shape=(10**11, 100),
        **arguments,
    )


def wide_network():
    def net(weights, x):
        hidden = x * weights["wide"]  # (N, 10^6)
        return hidden.sum(axis=1, keepdims=True)

    with pm.Model():
        return pmj.NeuralNetObserved(
            "y",
            net,
            {"wide": np.zeros(10**6)},
            rows(10**8, 1),
            likelihood=lambda out: pm.Normal.dist(out[..., 0], 1.0),
        )


TOO_LARGE = {
    "MarginalHMM": (large_markov, r"about 320,000 GB: emission terms .*\(10000000, 1000000, 2\)"),
    "matrices": (many_matrices, r"transition matrices .*\(10000000, 9999, 2, 2\)"),
    "histories": (long_memory, r"1048576 histories of 20 states.*\(1048576, 1048576\)"),
    "MarginalHSMM": (long_stays, r"stays .*\(10000000, 2, 10000000\)"),
    "ODEObserved": (many_subjects, r"the solution .*\(100000000000, 100, 1\)"),
    "recorded steps": (
        lambda: many_subjects(sensitivity="reverse"),
        r"recorded steps .*\(100000000000, 2000, 1\)",
    ),
    "NeuralNetObserved": (wide_network, r"one layer .*\(100000000, 1000000\)"),
}


@pytest.mark.parametrize("kind", ["MarginalHMM", "matrices", "MarginalHSMM", "ODEObserved"])
def test_nothing_is_refused_that_nobody_can_measure(kind, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    TOO_LARGE[kind][0]()


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_too_large_inputs_are_refused_with_the_estimate(kind):
    build, message = TOO_LARGE[kind]
    with pytest.raises(SizeError, match=message) as raised:
        build()
    text = str(raised.value)
    assert "one evaluation needs more memory than there is" in text
    assert "available" in text
    assert "\n  try " in text
    assert isinstance(raised.value, MemoryError)
    assert isinstance(raised.value, JaxDistError)


def test_what_fits_is_not_refused(monkeypatch):
    build = pm.Normal.dist([0.0, 1.0], 1.0)
    monkeypatch.setattr(memory, "available_memory", lambda: 33 * GIGABYTE)
    pmj.MarginalHMM.dist(build, MATRIX, shape=(10**6, 1000))
    monkeypatch.setattr(memory, "available_memory", lambda: 31 * GIGABYTE)
    with pytest.raises(SizeError, match=r"at most the 31 GB"):
        pmj.MarginalHMM.dist(build, MATRIX, shape=(10**6, 1000))


def test_what_the_system_tells(tmp_path, monkeypatch):
    machine, container = tmp_path / "meminfo", tmp_path / "cgroup"
    container.mkdir()
    monkeypatch.setattr(memory, "MEMINFO", machine)
    monkeypatch.setattr(memory, "CONTAINER", container)
    machine.write_text("MemTotal: 9000 kB\nMemAvailable:    2000 kB\n", encoding="ascii")
    assert memory.available_memory() == 2000 * 1024
    (container / "memory.max").write_text("max\n", encoding="ascii")
    (container / "memory.current").write_text("1000\n", encoding="ascii")
    assert memory.available_memory() == 2000 * 1024
    (container / "memory.max").write_text("500000\n", encoding="ascii")
    assert memory.available_memory() == 499_000
    (container / "memory.max").write_text("600\n", encoding="ascii")
    assert memory.available_memory() == 0


def test_systems_that_tell_less(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "nothing")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    assert memory.available_memory() > 10**8  # the whole memory of the machine
    monkeypatch.setattr(memory.os, "sysconf", lambda name: (_ for _ in ()).throw(ValueError(name)))
    assert memory.available_memory() is None
