"""Every message of the package is in the catalogue with an input, and the page shows its text."""

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from pymc_jaxdist.errors import JaxDistError
from tests.error_catalogue import CATALOGUE, PACKAGE, PAGE, observe, own_text, page


class Site(NamedTuple):
    """A call that lays out a message."""

    file: str
    first: int
    last: int


def sites():
    """Return every call of `compose_message` in the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "compose_message":
                file = path.relative_to(PACKAGE).as_posix()
                found.append(Site(file, node.lineno, node.end_lineno))
    return found


@cache
def raised(name):
    return observe(CATALOGUE[name])


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_mistake_is_a_named_error_in_the_template(name):
    found = raised(name)
    assert found is not None, "nothing was raised"
    first, *rest = own_text(found.error).splitlines()
    assert isinstance(found.error, JaxDistError)
    assert ": " in first
    assert first.rstrip().endswith(".")
    assert rest, "no line says what was found or what to do"
    assert all(line.startswith(("  got ", "  expected ", "  try ", " ")) for line in rest)
    assert "Traced<" not in own_text(found.error)
    assert "object at 0x" not in own_text(found.error)


def test_there_are_enough():
    assert len(CATALOGUE) >= 60


def test_every_message_of_the_package_is_in_the_catalogue():
    reached = [
        (Path(one.file).relative_to(PACKAGE).as_posix(), one.line)
        for one in map(raised, CATALOGUE)
        if one is not None and Path(one.file).is_relative_to(PACKAGE)
    ]
    missing = [
        f"{site.file}:{site.first}"
        for site in sites()
        if not any(file == site.file and site.first <= line <= site.last for file, line in reached)
    ]
    assert missing == []


def without_details(text):
    """Leave out what was found and expected, which quotes JAX and NumPy of this version."""
    return [line for line in text.splitlines() if not line.startswith("  ")]


def test_the_page_shows_every_message():
    by_mistake = {id(mistake): name for name, mistake in CATALOGUE.items()}

    def error_of(mistake):
        return raised(by_mistake[id(mistake)]).error

    written = PAGE.read_text(encoding="utf-8")
    assert without_details(written) == without_details(page(error_of))
