"""Functions that compiled code calls: compiled when they are needed, and what may go wrong."""

import math
import time

import pytest
from numba import njit

from pymc_jaxdist.kernels.native.addresses import asked_once, call
from pymc_jaxdist.kernels.native.compilation import (
    compiled_on_demand,
    compiled_to_keep,
    uninterrupted,
)


def caller(symbol, compiled):
    address = compiled_on_demand(symbol, compiled)

    @njit
    def ask_and_call(needed, x, y):
        return call(asked_once(address), (x, y)) if needed else 0.0

    return ask_and_call


def difference():
    def x_minus_half_of_y(x, y):
        return x - y / 2

    return compiled_to_keep(x_minus_half_of_y, "float64(int64, int64)")


def test_a_function_is_compiled_when_it_is_first_needed():
    compiled = []

    def compile_once():
        if not compiled:
            compiled.append(difference())
        return compiled[0]

    ask_and_call = caller("test_pymc_jaxdist_difference", compile_once)
    assert ask_and_call(False, 7, 3) == 0.0
    assert not compiled
    assert ask_and_call(True, 7, 3) == 5.5
    function = compiled[0]
    assert ask_and_call(True, 1, 1) == 0.5
    assert compiled == [function]


def test_a_function_that_cannot_be_compiled_gives_nan_and_says_why(capsys):
    def fail():
        raise MemoryError("no room for code")

    assert math.isnan(caller("test_pymc_jaxdist_failure", fail)(True, 7, 3))
    assert "MemoryError: no room for code" in capsys.readouterr().err


def test_an_interrupt_waits_for_compiled_code(wait_for_interrupt):
    calls = []

    def interrupted_twice():
        calls.append(None)
        if len(calls) <= 2:
            raise KeyboardInterrupt
        return "done"

    assert uninterrupted(interrupted_twice) == "done"
    with pytest.raises(KeyboardInterrupt):
        wait_for_interrupt(seconds=10)
    time.sleep(0.2)  # only one
