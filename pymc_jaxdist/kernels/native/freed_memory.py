"""What becomes of the large arrays that compiled code frees at the end of each evaluation."""

from functools import cache

import numpy as np

__all__ = ["keep_freed_memory"]

# What the C library of Linux keeps at most without being asked is 32 MiB.
LARGEST_KEPT = 2**25 - 2**16


@cache
def keep_freed_memory() -> None:
    """Let the process keep the memory of arrays that are freed, for those of the next evaluation.

    The C library of Linux gives an array of more than 128 KiB back to the system, and gets the next
    one from it page by page, which takes longer than to compute what is in it. An array that was
    freed once raises that limit to its own size. The one here is never written to, and so has no
    memory of its own; elsewhere than on Linux it does nothing.
    """
    np.empty(LARGEST_KEPT, dtype=np.uint8)
