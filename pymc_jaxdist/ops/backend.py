"""How JAX is started, if this package is the first to use it."""

import os
import sys

import jax
import numpy as np

from pymc_jaxdist.ops.compat import flags_of_small_loops

__all__ = ["jax_is_running", "prepare_backend"]

_prepared = False

# PyMC asks for 100 when its NumPyro interface is imported, which is too late once a model has been
# evaluated: NumPyro would then run parallel chains one after another. JAX starts a thread for each,
# and cuts matrix products into as many pieces, which on two cores takes twice as long (measured
# with a network at 5,000 rows); so no more than PyMC's default number of chains, or the cores.
HOST_DEVICES = max(4, os.cpu_count() or 1)

# Larger pieces than 32 MiB say nothing to the C library.
FREED_ONCE = 2**25 - 2**20


def prepare_backend() -> None:
    """Choose settings that JAX reads only when it starts, and let the C library keep memory.

    Does nothing to JAX if it is running already. Asks for several CPU devices, on which NumPyro
    runs chains in parallel; for loops over small arrays in one piece; and for synchronous
    dispatch: a log-density is waited for at once, and handing it to another thread costs some 35
    microseconds a call. A setting that is in ``XLA_FLAGS`` already stays as it is.
    """
    global _prepared
    if _prepared:
        return
    _prepared = True
    # The GNU C library learns from the largest piece that was freed how much memory to keep for
    # the next piece. Else it gives that back to the system after each call of a log-density, and
    # waiting for new pages takes longer than the recursions for 100,000 observations do.
    np.empty(FREED_ONCE, dtype=np.int8)
    if jax_is_running():
        return
    flags = os.environ.get("XLA_FLAGS", "").split()
    chosen = {"xla_force_host_platform_device_count": HOST_DEVICES, **flags_of_small_loops()}
    for name, value in chosen.items():
        if not any(flag.startswith(f"--{name}=") for flag in flags):
            flags.append(f"--{name}={value}")
    os.environ["XLA_FLAGS"] = " ".join(flags)
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def jax_is_running() -> bool:
    """Tell whether JAX has started its backends (and with them its threads)."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bool(bridge.backends_are_initialized())
