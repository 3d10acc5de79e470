"""A JAX array whose memory NumPy writes to and reads from, while no compiled function has it.

A compiled function to which the array is donated returns its result in the same memory. Handing
arrays over instead, in either direction, takes a third of the time of a small log-density.
"""

import ctypes
from typing import NamedTuple

import jax
import numpy as np

__all__ = ["ArrayInPlace", "array_in_place"]


class ArrayInPlace(NamedTuple):
    """An array of JAX's and its memory, which is valid as long as the array is.

    Attributes
    ----------
    numbers : numpy.ndarray
        The memory, to write to.
    whole : jax.Array
        What owns it.
    results : memoryview
        The part of the memory to read from.
    address : int
        Where it begins. An array that a compiled function returns is in the same memory if it has
        the same address.
    """

    numbers: np.ndarray
    whole: jax.Array
    results: memoryview
    address: int


def array_in_place(whole: jax.Array, begin: int, end: int) -> ArrayInPlace:
    """Return an array and its memory.

    Parameters
    ----------
    whole : jax.Array, shape (N,)
        On the processor.
    begin, end : int
        Where results begin and end.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> double = jax.jit(lambda x: x.at[1].set(2 * x[0]), donate_argnums=0)
    >>> array = array_in_place(double(jnp.array([3.0, 0.0])), 1, 2)
    >>> array.numbers[0] = 4.0
    >>> doubled = double(array.whole)
    >>> doubled.unsafe_buffer_pointer() == array.address
    True
    >>> np.frombuffer(array.results)
    array([8.])
    """
    address = whole.unsafe_buffer_pointer()
    memory = (ctypes.c_double * whole.size).from_address(address)
    results = memoryview(memory).cast("B")[8 * begin : 8 * end]
    return ArrayInPlace(np.ctypeslib.as_array(memory), whole, results, address)
