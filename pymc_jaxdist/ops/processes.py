"""Parallel chains without deadlock: how worker processes are started.

JAX computes on threads. A process forked from one in which JAX has started inherits the locks of
those threads but not the threads, and waits for ever. Linux forks by default before Python 3.14.
Therefore, once a model holds a JAX kernel, processes are started by a fork server, which itself
never starts JAX; and a kernel called in a forked copy of a JAX process says so instead of hanging.
"""

import ast
import multiprocessing
import os
import sys
from pathlib import Path

from pymc_jaxdist.errors import ForkedProcessError, compose_message
from pymc_jaxdist.ops.backend import jax_is_running

__all__ = ["UNGUARDED_MAIN", "UNGUARDED_MODULE", "prepare_process_starts", "refuse_hanging_fork"]

#: Environment variables that tell the fork server which script or module (python -m) its children
#: must not run again.
UNGUARDED_MAIN = "PYMC_JAXDIST_UNGUARDED_MAIN"
UNGUARDED_MODULE = "PYMC_JAXDIST_UNGUARDED_MODULE"

_prepared = False
_forked_while_jax_was_running = False


def prepare_process_starts() -> None:
    """Start worker processes from a fork server instead of forking this process.

    Changes ``multiprocessing``'s start method from ``"fork"`` to ``"forkserver"`` (the default of
    Python 3.14), for this process, the first time a JAX kernel becomes part of a graph. A start
    method other than ``"fork"`` is left alone.

    The fork server imports PyMC once, so that chains start without importing it again. Children
    of a script without ``if __name__ == "__main__":`` do not re-run the script, which would make
    each of them build the model and sample again; PyMC sends them all they need.
    """
    global _prepared
    if _prepared:
        return
    _prepared = True
    if multiprocessing.parent_process() is not None:
        return
    if multiprocessing.get_start_method() != "fork":
        return
    multiprocessing.set_start_method("forkserver", force=True)
    multiprocessing.set_forkserver_preload(["pymc_jaxdist.ops.forkserver_preload"])
    script = _unguarded_script()
    if script is not None:
        os.environ[UNGUARDED_MAIN] = script
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        if spec is not None:  # python -m
            os.environ[UNGUARDED_MODULE] = spec.name


def refuse_hanging_fork() -> None:
    """Raise instead of waiting for ever in a forked copy of a process that uses JAX.

    Raises
    ------
    ForkedProcessError
        In a process forked while JAX was running.
    """
    if _forked_while_jax_was_running:
        raise ForkedProcessError(
            compose_message(
                "pymc_jaxdist",
                "this worker process was forked from a process in which JAX was running, "
                "where JAX can only hang.",
                got="multiprocessing start method 'fork'",
                expected="'forkserver' or 'spawn'",
                suggestion="pm.sample(..., mp_ctx='forkserver'), or leave mp_ctx out",
            )
        )


def _note_fork() -> None:
    global _forked_while_jax_was_running
    _forked_while_jax_was_running = jax_is_running()


def _unguarded_script() -> str | None:
    """Return the path of the running script if importing it again would sample again."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    if path is None:
        return None
    path = os.path.normpath(os.path.abspath(path))
    try:
        module = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):  # no file to import again: a script on stdin
        return path
    guards = [s for s in module.body if _mentions_name(s)]
    rest = [s for s in module.body if s not in guards]
    return None if guards and not any(_samples(s) for s in rest) else path


def _mentions_name(statement: ast.stmt) -> bool:
    """Tell whether a statement is ``if __name__ == "__main__":`` or the like."""
    return isinstance(statement, ast.If) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(statement.test)
    )


def _samples(statement: ast.stmt) -> bool:
    """Tell whether a statement, when it is run and not only defined, calls pm.sample."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    return any(
        isinstance(part, ast.Call)
        and isinstance(part.func, ast.Attribute)
        and part.func.attr in {"sample", "sample_smc"}
        for part in ast.walk(statement)
    )


os.register_at_fork(after_in_child=_note_fork)
