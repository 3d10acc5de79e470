"""Of many similar cases, those that fast tests do without."""

import pytest

__all__ = ["slow_except"]


def slow_except(cases, *fast):
    """Return parameters for `pytest.mark.parametrize`, marked slow where not named in ``fast``."""
    names = list(cases)
    assert set(fast) <= set(names)
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]
