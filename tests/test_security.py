"""Nothing is unpickled, evaluated or downloaded: data are data, and come with the package."""

import ast
from pathlib import Path
from typing import NamedTuple

import pymc_jaxdist
from pymc_jaxdist import datasets

PACKAGE = Path(pymc_jaxdist.__file__).parent

#: What runs code that is not in the source, or reaches out of the machine.
DANGEROUS_CALLS = {
    "eval",
    "exec",
    "__import__",
    "loads",
    "load",
    "Unpickler",
    "system",
    "popen",
    "Popen",
    "urlopen",
    "urlretrieve",
}
DANGEROUS_MODULES = {
    "dill",
    "ftplib",
    "http",
    "joblib",
    "marshal",
    "pickle",
    "pooch",
    "requests",
    "shelve",
    "socket",
    "subprocess",
    "urllib",
}

#: The places that may, and why that is safe.
ALLOWED = {
    # The inverse of pickling a user's own function, which pickle asks for; never given a file.
    ("ops/by_value.py", "loads"),
    # A lambda of generated names x0, x1, ...; no string of a user is part of it.
    ("ops/compat.py", "eval"),
    # Assignments between generated names, at positions and of lengths that are numbers.
    ("ops/kernel_op.py", "exec"),
    ("ops/packed_call.py", "exec"),
    # JSON, which cannot hold code.
    ("datasets.py", "loads"),
}


class Found(NamedTuple):
    """A call or an import that needs a reason."""

    file: str
    what: str


def dangers(source, file):
    """Return what a file does of the above."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            method = isinstance(node.func, ast.Attribute)
            # The eval of a PyTensor graph; the load of a vector, by itself or in LLVM's builder.
            harmless = (name == "eval" and method) or (
                name == "load" and (not method or owner == "builder")
            )
            if name in DANGEROUS_CALLS and not harmless:
                found.add(Found(file, name))
            keywords = {k.arg for k in node.keywords}
            if "allow_pickle" in keywords:
                found.add(Found(file, "allow_pickle"))
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        found |= {Found(file, m) for m in modules if m.split(".")[0] in DANGEROUS_MODULES}
    return found


def test_the_package_runs_no_code_but_its_own():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        file = path.relative_to(PACKAGE).as_posix()
        found |= dangers(path.read_text(encoding="utf-8"), file)
    assert {tuple(one) for one in found} == ALLOWED


def test_what_must_not_be_is_found():
    source = (
        "import pickle, urllib.request\npickle.load(f)\neval(text)\nnp.load(f, allow_pickle=True)"
    )
    assert {one.what for one in dangers(source, "x.py")} == {
        "pickle",
        "urllib.request",
        "load",
        "eval",
        "allow_pickle",
    }
    assert not dangers("graph.eval()", "x.py")


def test_data_sets_come_with_the_package(monkeypatch):
    """Without a network, from files of the package, all of which are text."""
    import socket

    def no_network(*arguments, **keywords):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", no_network)
    loaders = [name for name in datasets.__all__ if name.startswith("load_")]
    assert len(loaders) >= 5
    for name in loaders:
        getattr(datasets, name)()
    files = [p for p in (PACKAGE / "data").iterdir() if p.is_file()]
    assert files
    assert {path.suffix for path in files} <= {".json", ".py", ".md", ".txt"}
