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

__all__ = ["UNGUARDED_MAIN", "prepare_process_starts", "refuse_hanging_fork"]

#: Environment variable that tells the fork server which script its children must not re-run.
UNGUARDED_MAIN = "PYMC_JAXDIST_UNGUARDED_MAIN"

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
    """Return the path of the running script if importing it again would run it again."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None or getattr(main, "__spec__", None) is not None:
        return None
    path = os.path.normpath(os.path.abspath(path))
    try:
        statements = ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return None
    for statement in statements:
        if isinstance(statement, ast.If) and any(
            isinstance(part, ast.Name) and part.id == "__name__"
            for part in ast.walk(statement.test)
        ):
            return None
    return path


os.register_at_fork(after_in_child=_note_fork)
