"""Recursions that Numba compiles to vector instructions, for processors."""
