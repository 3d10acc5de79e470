"""Whether an evaluation fits into memory, asked before anything is allocated.

A model whose arrays exceed the memory ends in a process that the system kills, without a message
and with all that was computed before. The sizes are known when the model is built.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pymc_jaxdist.errors import SizeError, compose_message

__all__ = ["available_memory", "refuse_what_does_not_fit"]

BYTES_PER_NUMBER = 8  # float64
#: What Linux tells of the machine, and of the container the process runs in.
MEMINFO = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Return how many bytes this process may still allocate, or None if nobody tells.

    Returns
    -------
    int or None
        Memory that is free or can be freed, within the limit of a container.

    Examples
    --------
    >>> available = available_memory()
    >>> available is None or available > 0
    True
    """
    told = [n for n in (_of_machine(), _of_container()) if n is not None]
    return min(told, default=None)


def _of_machine() -> int | None:
    try:
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(rest.split()[0])
    except (OSError, ValueError, IndexError):
        pass
    try:  # the whole of it, where the system does not say what is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _of_container() -> int | None:
    try:
        limit = (CONTAINER / "memory.max").read_text(encoding="ascii").strip()
        used = (CONTAINER / "memory.current").read_text(encoding="ascii").strip()
        return max(int(limit) - int(used), 0)
    except (OSError, ValueError):  # no container, or none with a limit: "max"
        return None


def refuse_what_does_not_fit(
    where: str, arrays: Mapping[str, Sequence[Any]], suggestion: str
) -> None:
    """Refuse a model of which one evaluation needs more memory than there is.

    Parameters
    ----------
    where : str
        The distribution and its name, for the message.
    arrays : mapping of str to tuple
        Shapes of the largest arrays of one evaluation, by what they hold. A length that is None
        is not known, and counts as 1.
    suggestion : str
        What would make them smaller.

    Raises
    ------
    SizeError
        With the estimate, and what is available.

    Examples
    --------
    >>> refuse_what_does_not_fit("MarginalHMM 'y'", {"emission terms": (10, 100, 3)}, "fewer")
    """
    sizes = {
        label: BYTES_PER_NUMBER * math.prod(1 if n is None else int(n) for n in shape)
        for label, shape in arrays.items()
    }
    needed = sum(sizes.values())
    if needed < 2**28:  # not worth asking the system
        return
    available = available_memory()
    if available is None or needed <= available:
        return
    largest = sorted(sizes, key=lambda label: -sizes[label])
    parts = ", ".join(f"{label} {_as_text(arrays[label])}" for label in largest)
    raise SizeError(
        compose_message(
            where,
            "one evaluation needs more memory than there is.",
            got=f"about {_gigabytes(needed)}: {parts}",
            expected=f"at most the {_gigabytes(available)} that are available",
            suggestion=suggestion,
        )
    )


def _as_text(shape: Sequence[Any]) -> str:
    return "(" + ", ".join("?" if n is None else str(int(n)) for n in shape) + ")"


def _gigabytes(n_bytes: int) -> str:
    size = n_bytes / 1e9
    return f"{size:,.0f} GB" if size >= 10 else f"{size:.1f} GB"
