"""Differential equations with what SciPy needs to differentiate them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.kernels.ode.problem import Inputs, Problem


class Case(NamedTuple):
    field: object
    y0: np.ndarray
    theta: np.ndarray
    times: np.ndarray


def lotka_volterra(t, y, p, xp=jnp):
    return xp.stack([y[0] * (p[0] - p[1] * y[1]), y[1] * (p[2] * y[0] - p[3])])


def infection(t, y, p, xp=jnp):
    rate, cured = p[0] * y[0] * y[1], p[1] * y[1]
    return xp.stack([-rate, rate - cured, cured])


def oral_dose(t, y, p, xp=jnp):
    return xp.stack([-p[0] * y[0], p[0] * y[0] - p[1] * y[1]])


def robertson(t, y, p, xp=jnp):
    slow, back, fast = p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] ** 2
    return xp.stack([-slow + back, slow - back - fast, fast])


def driven(t, y, p, xp=jnp):
    return xp.stack([y[1], -p[0] * y[0] - p[1] * y[1] + xp.sin(3 * t)])


def cascade(t, y, p, xp=jnp):
    even = np.arange(len(y)) % 2 == 0
    out = (p[1] * even + p[2] * ~even) * y
    flow_in = xp.concatenate([xp.stack([p[0] * (1 + xp.sin(t))]), out[:-1]])
    return flow_in - out - 0.1 * y**2


CASES = {
    "lotka-volterra": Case(
        lotka_volterra, np.array([30.0, 4.0]), np.array([0.55, 0.028, 0.024, 0.8]), np.arange(21.0)
    ),
    "infection": Case(infection, np.array([0.99, 0.01, 0.0]), np.array([1.7, 0.5]), np.r_[1:14.0]),
    "oral dose": Case(
        oral_dose, np.array([4.0, 0.0]), np.array([3.0, 0.08]), np.array([0.25, 1, 2, 5, 12, 24.0])
    ),
    "driven": Case(driven, np.array([1.0, 0.0]), np.array([2.0, 0.3]), np.linspace(0.1, 9, 40)),
    # Beyond four and beyond eight states, stiff methods have loops for what is written out before.
    "six states": Case(cascade, np.ones(6), np.array([2.0, 200.0, 0.7]), np.r_[0.1:4:10j]),
    "ten states": Case(cascade, np.ones(10), np.array([2.0, 200.0, 0.7]), np.r_[0.1:4:10j]),
    "robertson": Case(
        robertson, np.array([1.0, 0, 0]), np.array([0.04, 1e4, 3e7]), 10 ** np.linspace(-3, 4, 8)
    ),
}


def numpy_field(case):
    return lambda t, y, p: case.field(t, y, p, np)


def jacobians(case):
    """Complex-step derivatives of a field by states and parameters."""

    def derivative(f, x):
        columns = []
        for j in range(len(x)):
            z = x.astype(complex)
            z[j] += 1e-30j
            columns.append(f(z).imag / 1e-30)
        return np.stack(columns, axis=1)

    f = case.field
    return (
        lambda t, y, p: derivative(lambda z: f(t, z, p, np), y),
        lambda t, y, p: derivative(lambda z: f(t, y, z, np), p),
    )


def problem(case, rtol=1e-8, atol=1e-10, **kwargs):
    return Problem(
        field=lambda t, segment, y, theta, fixed: case.field(t, y, theta),
        rtol=rtol,
        atol=atol,
        **kwargs,
    )


def inputs(case, n_subjects=1):
    def rows(x):
        return jnp.broadcast_to(jnp.asarray(x, dtype=float), (n_subjects, *np.shape(x)))

    return Inputs(
        y0=rows(case.y0),
        theta=rows(case.theta),
        t0=rows(0.0),
        times=rows(case.times),
        knots=rows(np.zeros(0)),
    )
