"""Numerical derivatives."""

import numpy as np


def central_difference(function, x, step=1e-5):
    """Derivative of a scalar or array function with respect to every entry of `x`.

    The result has shape ``x.shape + function(x).shape``. Five points, so the error is of order
    step**4 plus rounding over step.
    """
    x = np.asarray(x, dtype=float)
    rows = []
    for index in np.ndindex(x.shape):

        def moved(distance, index=index):
            shifted = x.copy()
            shifted[index] += distance
            return np.asarray(function(shifted), dtype=float)

        near = moved(step) - moved(-step)
        far = moved(2 * step) - moved(-2 * step)
        rows.append((8 * near - far) / (12 * step))
    return np.array(rows).reshape((*x.shape, *np.shape(rows[0])))
