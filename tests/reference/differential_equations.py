"""Solutions and their derivatives by SciPy at tolerances far below those under test."""

import numpy as np
from scipy.integrate import solve_ivp


def solve(f, y0, theta, t0, times, method="DOP853"):
    """Return states ``(T, n)`` of ``dy/dt = f(t, y, theta)`` at increasing times."""
    times = np.asarray(times, dtype=float)
    found = solve_ivp(
        lambda t, y: f(t, y, theta),
        (t0, times[-1]),
        np.asarray(y0, dtype=float),
        t_eval=times,
        method=method,
        rtol=1e-12,
        atol=1e-14,
    )
    assert found.success
    return found.y.T


def derivatives(f, jac_y, jac_theta, y0, theta, t0, times, method="DOP853"):
    """Return ``d states / d (y0, theta)`` ``(T, n, n + p)`` from the variational system."""
    n, p = len(y0), len(theta)

    def augmented(t, z, theta):
        y, s = z[:n], z[n:].reshape(n, n + p)
        growth = jac_y(t, y, theta) @ s
        growth[:, n:] += jac_theta(t, y, theta)
        return np.concatenate([f(t, y, theta), growth.ravel()])

    start = np.hstack([np.eye(n), np.zeros((n, p))])
    z = solve(augmented, np.concatenate([y0, start.ravel()]), theta, t0, times, method)
    return z[:, n:].reshape(len(times), n, n + p)
