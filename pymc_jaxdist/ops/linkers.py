"""What PyTensor's JAX and Numba backends must know of our Ops, told when the first Op is made.

Importing those backends takes a second or more, which `import pymc_jaxdist` must not cost: a reader
of the documentation, or a script that only loads data, needs neither.
"""

import jax

__all__ = ["know_our_ops"]

_told = False


def know_our_ops() -> None:
    """Import PyTensor's backends and register our Ops with them, once."""
    global _told
    if _told:
        return
    _told = True
    # Importing the JAX backend sets the precision from floatX, whatever was chosen meanwhile.
    double = jax.config.jax_enable_x64  # type: ignore[attr-defined]
    from pymc_jaxdist.ops import dispatch, jax_op_dispatch, pytensor_op_dispatch  # noqa: F401

    jax.config.update("jax_enable_x64", double)
