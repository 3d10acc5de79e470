"""How JAX is started, if it was not used before this package was imported."""

import ctypes
import os
import sys
from functools import cache

import jax

from pymc_jaxdist.ops.compat import flags_of_small_loops

__all__ = ["choose_settings", "dispatch_is_synchronous", "jax_is_running", "keep_memory"]

# PyMC asks for 100 when its NumPyro interface is imported, which is too late once a model has been
# evaluated: NumPyro would then run parallel chains one after another. JAX starts a thread for each,
# and cuts matrix products into as many pieces, which on two cores takes twice as long (measured
# with a network at 5,000 rows); so no more than PyMC's default number of chains, or the cores.
HOST_DEVICES = max(4, os.cpu_count() or 1)

# The largest piece of memory that the C library keeps to use it again, and how much it keeps.
LARGEST_KEPT, MOST_KEPT = 2**28, 2**29
# The largest that releases of the GNU C library before 2.35 accept.
LARGEST_ACCEPTED = 2**25
# In malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

_chosen_in_time = False


def choose_settings() -> None:
    """Choose settings that JAX reads only when it starts; nothing if it is running already.

    Asks for several CPU devices, on which NumPyro runs chains in parallel; for loops over small
    arrays in one piece; and for synchronous dispatch: a log-density is waited for at once, and
    handing it to another thread costs some 35 microseconds a call. A setting that is in
    ``XLA_FLAGS`` already stays as it is.
    """
    global _chosen_in_time
    if jax_is_running():
        return
    _chosen_in_time = True
    flags = os.environ.get("XLA_FLAGS", "").split()
    chosen = {"xla_force_host_platform_device_count": HOST_DEVICES, **flags_of_small_loops()}
    for name, value in chosen.items():
        if not any(flag.startswith(f"--{name}=") for flag in flags):
            flags.append(f"--{name}={value}")
    os.environ["XLA_FLAGS"] = " ".join(flags)
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def dispatch_is_synchronous() -> bool:
    """Tell whether a compiled function is surely through when its call on the processor returns."""
    return _chosen_in_time and not jax.config.read("jax_cpu_enable_async_dispatch")


@cache
def keep_memory() -> None:
    """Let the GNU C library keep what a call of a log-density used for the next call.

    Else it gives large pieces back to the system each time, and waiting for new pages takes longer
    than the recursions do: two to four times as long for a million observations. What the
    environment says about it stays as it is.
    """
    if sys.platform != "linux" or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    if {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys():
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:  # another C library
        return
    if not set_option(M_MMAP_THRESHOLD, LARGEST_KEPT):
        set_option(M_MMAP_THRESHOLD, LARGEST_ACCEPTED)
    set_option(M_TRIM_THRESHOLD, MOST_KEPT)


def jax_is_running() -> bool:
    """Tell whether JAX has started its backends (and with them its threads)."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bool(bridge.backends_are_initialized())
