"""Python's garbage collector, which compiling need not wait for."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["paused_garbage_collection"]


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Let Python look for garbage after something, not in the middle of it.

    JAX makes hundreds of thousands of objects while it traces a function, at which Python looks
    through all there are: a quarter of a second where PyMC and JAX are loaded, a seventh of what
    compiling a solver takes.

    Examples
    --------
    >>> with paused_garbage_collection():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
