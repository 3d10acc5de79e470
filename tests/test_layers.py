"""Imports go one way: kernels <- ops <- distributions, and posterior after sampling.

A kernel that imported PyTensor could not be used from NumPyro alone; an Op that imported PyMC
could not be tested without a model. This file keeps the directions by reading the source.
"""

import ast
import sys
from pathlib import Path
from subprocess import run
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "pymc_jaxdist"
TESTS = Path(__file__).parent

#: Where a part of the package may import from, within the package. Every part may import errors.
ALLOWED_WITHIN = {
    "__init__": {"distributions", "posterior", "ops", "plots", "datasets"},
    "errors": set(),
    "kernels": {"kernels"},
    "ops": {"ops", "kernels"},
    "distributions": {"distributions", "ops", "kernels"},
    "posterior": {"posterior", "distributions", "ops", "kernels"},
    "plots": set(),
    "datasets": set(),
}

#: What a part of the package must not import from outside.
FORBIDDEN_OUTSIDE = {
    "__init__": set(),
    "errors": {"jax", "pytensor", "pymc"},
    "kernels": {"pytensor", "pymc", "numpyro", "arviz", "xarray"},
    "ops": {"pymc", "arviz", "xarray"},
    "distributions": {"arviz", "xarray"},
    "posterior": set(),
    "plots": {"jax", "pytensor", "pymc"},
    "datasets": {"jax", "pytensor", "pymc"},
}

#: The one file that knows versions; ``__init__`` may state the package's own.
KNOWS_VERSIONS = {"ops/compat.py", "__init__.py"}


class Import(NamedTuple):
    """A module that is imported, and the line that does it."""

    module: str
    line: int


def imports(source: str) -> list[Import]:
    """Return every absolute import of a file, also inside functions and by name in a string."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            module = node.module or ""
            # ``from package import part`` imports package.part
            found += [Import(f"{module}.{alias.name}", node.lineno) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            if name in {"import_module", "__import__"} and isinstance(first, ast.Constant):
                found.append(Import(str(first.value), node.lineno))
    return found


def asks_for_a_version(source: str) -> list[int]:
    """Return the lines that read the version of Python or of a package."""
    lines = [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if getattr(node, "attr", None) in {"__version__", "version_info"}
        or getattr(node, "id", None) == "__version__"
    ]
    packages = {"importlib.metadata", "packaging"}
    lines += [
        found.line for found in imports(source) if any(found.module.startswith(p) for p in packages)
    ]
    return lines


def part_of(path: Path) -> str:
    """Return the part of the package, a folder or a module, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))
REFERENCE = sorted((TESTS / "reference").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
class TestEachFileOfThePackage:
    def test_belongs_to_a_known_part(self, path):
        assert part_of(path) in ALLOWED_WITHIN

    def test_imports_within_the_package_go_one_way(self, path):
        allowed = ALLOWED_WITHIN[part_of(path)] | {"errors"}
        for module, line in imports(path.read_text(encoding="utf-8")):
            root, *rest = module.split(".")
            if root == "pymc_jaxdist":
                assert rest, f"line {line} imports the whole package, which imports everything"
                assert rest[0] in allowed, f"{part_of(path)} imports {module} in line {line}"

    def test_imports_from_outside_belong_here(self, path):
        forbidden = FORBIDDEN_OUTSIDE[part_of(path)]
        for module, line in imports(path.read_text(encoding="utf-8")):
            assert module.split(".")[0] not in forbidden, f"imports {module} in line {line}"

    def test_versions_are_checked_in_one_file(self, path):
        if path.relative_to(PACKAGE).as_posix() not in KNOWS_VERSIONS:
            lines = asks_for_a_version(path.read_text(encoding="utf-8"))
            assert not lines, f"asks for a version in lines {lines}"

    def test_is_named_by_what_it_is_about(self, path):
        assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


def test_matplotlib_is_imported_only_where_a_picture_is_drawn():
    for path in FILES:
        module = ast.parse(path.read_text(encoding="utf-8"))
        top_level = [n for n in module.body if isinstance(n, ast.Import | ast.ImportFrom)]
        source = "\n".join(ast.unparse(node) for node in top_level)
        assert "matplotlib" not in {found.module.split(".")[0] for found in imports(source)}


def test_importing_the_package_does_not_start_jax():
    """How many host devices JAX has can be chosen only before it starts."""
    script = (
        "import pymc_jaxdist; from jax._src import xla_bridge; "
        "print(xla_bridge.backends_are_initialized())"
    )
    done = run(
        [sys.executable, "-c", script],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("path", REFERENCE, ids=lambda p: p.name)
def test_reference_implementations_are_written_without_what_they_check(path):
    banned = {"jax", "pytensor", "pymc", "numpyro", "pymc_jaxdist"}
    for module, line in imports(path.read_text(encoding="utf-8")):
        assert module.split(".")[0] not in banned, f"imports {module} in line {line}"


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import jax.numpy as jnp", ["jax.numpy"]),
        ("from pymc_jaxdist.ops import compat", ["pymc_jaxdist.ops.compat"]),
        ("def f():\n    from pymc import logp", ["pymc.logp"]),
        ("importlib.import_module('pymc')", ["pymc"]),
    ],
)
def test_every_way_of_importing_is_seen(source, modules):
    assert [found.module for found in imports(source)] == modules


@pytest.mark.parametrize(
    "source",
    [
        "pm.__version__ > '6'",
        "sys.version_info >= (3, 13)",
        "from importlib.metadata import version",
        "from pytensor import __version__\n__version__.split('.')",
        "import packaging.version",
    ],
)
def test_every_way_of_asking_for_a_version_is_seen(source):
    assert asks_for_a_version(source)
