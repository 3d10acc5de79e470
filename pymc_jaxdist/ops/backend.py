"""How JAX is started, if this package is the first to use it."""

import os
import sys

import jax

__all__ = ["jax_is_running", "prepare_backend"]

_prepared = False

# PyMC asks for 100 when its NumPyro interface is imported, which is too late once a model has been
# evaluated: NumPyro would then run parallel chains one after another. JAX starts a thread for each,
# and cuts matrix products into as many pieces, which on two cores takes twice as long (measured
# with a network at 5,000 rows); so no more than PyMC's default number of chains, or the cores.
HOST_DEVICES = max(4, os.cpu_count() or 1)


def prepare_backend() -> None:
    """Choose settings that JAX reads only when it starts.

    Does nothing if JAX is running already. Asks for several CPU devices, on which NumPyro runs
    chains in parallel, and for synchronous dispatch: a log-density is waited for at once, and
    handing it to another thread costs some 35 microseconds a call.
    """
    global _prepared
    if _prepared:
        return
    _prepared = True
    if jax_is_running():
        return
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" not in flags:
        os.environ["XLA_FLAGS"] = (
            f"{flags} --xla_force_host_platform_device_count={HOST_DEVICES}".lstrip()
        )
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def jax_is_running() -> bool:
    """Tell whether JAX has started its backends (and with them its threads)."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bool(bridge.backends_are_initialized())
