"""Vector fields are written by users, whose shapes and types may mix as JAX allows by default."""

import pytest


@pytest.fixture(autouse=True)
def strict_jax():
    """Take the place of the fixture of the same name that makes JAX strict."""
