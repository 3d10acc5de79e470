"""Tests of distributions compile nothing in C or Numba unless they ask for it."""

import pytest

from tests.distributions.compiled import interpreted


@pytest.fixture(autouse=True, scope="module")
def interpreted_mode():
    with interpreted():
        yield
