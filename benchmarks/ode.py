"""Value and gradient of a differential equation's log-likelihood: this package and its peers.

All tolerances are 1e-6 (Robertson: atol 1e-9). Everything is timed in one process, in turn. The
figures are the medians of a round and their ratio to ``pytensor.wrap_jax`` around diffrax, which is
how one would put diffrax into a PyMC model. Errors are those of the gradient, relative, against a
solution with tolerances of 1e-11: their geometric mean over 20 points, the parameters times random
factors (15 %). At a single point, which of two methods is more exact is chance. What compiling
takes is the time of the first call. For this package and diffrax in reverse mode it is the median
of several, in turn, of fields that nobody has compiled before.

    python benchmarks/ode.py [problem ...]
"""

import json
import platform
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from jax.experimental.ode import odeint
from pytensor.compile.mode import Mode
from scipy.integrate import solve_ivp

import pymc_jaxdist as pmj
from pymc_jaxdist.ops import LogDensity

RESULTS = Path(__file__).parent / "results" / "ode.json"
ROUNDS = 9
SECONDS_A_ROUND = 0.02
POINTS = 20
COMPILATIONS = 5


def lotka_volterra(t, y, p):
    return jnp.stack([y[0] * (p[0] - p[1] * y[1]), y[1] * (p[2] * y[0] - p[3])])


def infection(t, y, p):
    caught, cured = p[0] * y[0] * y[1] / 763.0, p[1] * y[1]
    return jnp.stack([-caught, caught - cured, cured])


def robertson(t, y, p):
    slow, back, fast = p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] ** 2
    return jnp.stack([-slow + back, slow - back - fast, fast])


def oral_dose(t, y, p):
    return jnp.stack([-p[0] * y[0], p[0] * y[0] - p[1] * y[1]])


def lorenz96(t, y, p):
    return (jnp.roll(y, -1) - jnp.roll(y, 2)) * jnp.roll(y, 1) - y + p[0]


def hires(t, y, p):
    return jnp.stack(
        [
            -p[0] * y[0] + 0.43 * y[1] + 8.32 * y[2] + 0.0007,
            p[0] * y[0] - 8.75 * y[1],
            -10.03 * y[2] + 0.43 * y[3] + 0.035 * y[4],
            8.32 * y[1] + p[0] * y[2] - 1.12 * y[3],
            -1.745 * y[4] + 0.43 * y[5] + 0.43 * y[6],
            -p[1] * y[5] * y[7] + 0.69 * y[3] + p[0] * y[4] - 0.43 * y[5] + 0.69 * y[6],
            p[1] * y[5] * y[7] - 1.81 * y[6],
            -p[1] * y[5] * y[7] + 1.81 * y[6],
        ]
    )


N_SUBJECTS = 50
SUBJECTS = np.random.default_rng(0).normal(size=(N_SUBJECTS, 2))
# field, y0, parameters, times, atol, is y0 a parameter, stiff
PROBLEMS = {
    "Lotka-Volterra": (
        lotka_volterra, [30.0, 4.0], [0.55, 0.028, 0.024, 0.8], np.arange(1.0, 21), 1e-6, True,
        False,
    ),
    "SIR": (infection, [762.0, 1.0, 0.0], [1.7, 0.5], np.arange(1.0, 15), 1e-6, False, False),
    "Robertson": (
        robertson, [1.0, 0, 0], [0.04, 1e4, 3e7], 10 ** np.linspace(-3, 4, 10), 1e-9, False, True,
    ),
    "PK, 50 subjects": (
        oral_dose, [4.0, 0.0], np.exp(0.3 * SUBJECTS + np.log([1.5, 0.1])),
        np.array([0.25, 0.5, 1, 2, 3.5, 5, 7, 9, 12, 24]), 1e-6, False, False,
    ),
    "Lorenz-96": (
        lorenz96, 8 + 0.5 * np.sin(np.arange(20.0)), [8.0], np.linspace(0.1, 2, 20), 1e-6, True,
        False,
    ),
    "HIRES": (
        hires, [1.0, 0, 0, 0, 0, 0, 0, 0.0057], [1.71, 280.0], np.linspace(20, 300, 10), 1e-6,
        False, True,
    ),
}  # fmt: skip
RTOL = 1e-6


def log_density(states, y):
    return -0.5 * jnp.sum((y - states) ** 2)


def this_package(problem, y, solver="auto", rtol=RTOL, atol=None):
    """Return the compiled PyTensor function and the log-density's node."""
    field, y0, theta, times, default_atol, y0_moves, _ = PROBLEMS[problem]
    p = pt.tensor("p", shape=np.shape(theta), dtype="float64")
    start = pt.dvector("y0")
    batch = np.shape(theta)[:-1]
    inputs = [p, start] if y0_moves else [p]
    state = pt.specify_shape(start, np.shape(y0)) if y0_moves else np.asarray(y0, dtype=float)
    if batch:
        state = np.broadcast_to(np.asarray(y0, dtype=float), (*batch, len(y0)))
    with pm.Model() as model:
        pmj.ODEObserved(
            "y",
            field,
            params=p,
            y0=state,
            times=times,
            likelihood=lambda y: pm.Normal.dist(y, 1.0),
            solver=solver,
            rtol=rtol,
            atol=default_atol if atol is None else atol,
            max_steps=2000 if rtol > 1e-9 else 200_000,
            sensitivity="auto" if rtol > 1e-9 else "forward",
            observed=y,
        )
    logp = model.logp()
    function = pytensor.function(
        inputs, [logp, *pt.grad(logp, inputs)], mode=Mode(linker="cvm", optimizer="fast_run")
    )
    function.trust_input = True
    return function


def with_diffrax(problem, y, adjoint, solver=None):
    field, _, theta, times, atol, _, stiff = PROBLEMS[problem]
    solver = solver or (diffrax.Kvaerno5() if stiff else diffrax.Tsit5())

    def states(p, start):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field), solver, 0.0, times[-1], None, start, p,
            saveat=diffrax.SaveAt(ts=jnp.asarray(times)),
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=atol),
            adjoint=adjoint, max_steps=4096,
        ).ys  # fmt: skip

    def logp(p, start):
        solve = jax.vmap(states, (0, None)) if np.ndim(theta) == 2 else states
        return log_density(solve(p, start), y)

    return logp


def gradients(logp, problem, forward=False):
    y0_moves, theta = PROBLEMS[problem][5], PROBLEMS[problem][2]
    wrt = (0, 1) if y0_moves else 0
    if not forward:
        return jax.jit(jax.value_and_grad(logp, wrt))
    if np.ndim(theta) == 2:
        return None
    return jax.jit(lambda *a: (logp(*a), jax.jacfwd(logp, wrt)(*a)))


def with_odeint(problem, y):
    field, _, theta, times, atol, *_ = PROBLEMS[problem]

    def states(p, start):
        ts = jnp.concatenate([jnp.zeros(1), jnp.asarray(times)])
        return odeint(lambda y, t, p: field(t, y, p), start, ts, p, rtol=RTOL, atol=atol)[1:]

    def logp(p, start):
        solve = jax.vmap(states, (0, None)) if np.ndim(theta) == 2 else states
        return log_density(solve(p, start), y)

    return logp


def with_scipy(problem, y):
    """Solve by SciPy the equation and its derivatives by the parameters (forward sensitivities)."""
    field, y0, theta, times, atol, y0_moves, _ = PROBLEMS[problem]
    n, n_parameters = len(y0), np.shape(theta)[-1]
    towards_p = np.eye(n_parameters, n_parameters + n * y0_moves)
    towards_start = np.eye(n, n_parameters + n, k=n_parameters)[:, : towards_p.shape[1]]

    @jax.jit
    def slopes(t, augmented, p):
        y, columns = augmented[:n], augmented[n:].reshape(n, -1)

        def along(d_y, d_p):
            return jax.jvp(lambda y, p: field(t, y, p), (y, p), (d_y, d_p))[1]

        derivatives = jax.vmap(along, 1, 1)(columns, jnp.asarray(towards_p))
        return jnp.concatenate([field(t, y, p), derivatives.ravel()])

    def of_one(p, start, y):
        begin = np.concatenate([start, towards_start.ravel()])
        found = solve_ivp(
            lambda t, augmented: np.asarray(slopes(t, augmented, p)),
            (0.0, times[-1]), begin, "LSODA", times, rtol=RTOL, atol=atol,
        ).y.T  # fmt: skip
        residuals = y - found[:, :n]
        gradient = np.einsum("tn,tnk->k", residuals, found[:, n:].reshape(len(times), n, -1))
        return -0.5 * np.sum(residuals**2), gradient

    def call(p, start=y0):
        if np.ndim(p) == 1:
            value, gradient = of_one(p, start, y)
            return value, gradient[:n_parameters], gradient[n_parameters:]
        found = [of_one(of_subject, start, seen) for of_subject, seen in zip(p, y, strict=True)]
        return sum(value for value, _ in found), np.stack([gradient for _, gradient in found])

    return call


def with_wrap_jax(problem, logp):
    theta, y0_moves = PROBLEMS[problem][2], PROBLEMS[problem][5]
    y0 = np.asarray(PROBLEMS[problem][1], dtype=float)
    p = pt.tensor("p", shape=np.shape(theta), dtype="float64")
    start = pt.tensor("y0", shape=np.shape(y0), dtype="float64")
    wrapped = pytensor.wrap_jax(logp)
    value = wrapped(p, start if y0_moves else pt.as_tensor(y0))
    inputs = [p, start] if y0_moves else [p]
    function = pytensor.function(
        inputs, [value, *pt.grad(value, inputs)], mode=Mode(linker="cvm", optimizer="fast_run")
    )
    function.trust_input = True
    return function


def with_pm_ode(problem, y):
    """Return the function of `pm.ode`, which has one solution, no subjects."""
    _, y0, theta, times, _, y0_moves, _ = PROBLEMS[problem]
    if problem not in ("Lotka-Volterra", "SIR"):
        return None

    def field(y, t, p):
        if problem == "SIR":
            caught, cured = p[0] * y[0] * y[1] / 763.0, p[1] * y[1]
            return [-caught, caught - cured, cured]
        return [y[0] * (p[0] - p[1] * y[1]), y[1] * (p[2] * y[0] - p[3])]

    ode = pm.ode.DifferentialEquation(
        func=field, times=times, n_states=len(y0), n_theta=len(theta), t0=0
    )
    p, start = pt.dvector("p"), pt.dvector("y0")
    states = ode(y0=start if y0_moves else list(y0), theta=p)
    value = -0.5 * ((y - states) ** 2).sum()
    inputs = [p, start] if y0_moves else [p]
    return pytensor.function(
        inputs, [value, *pt.grad(value, inputs)], mode=Mode(linker="cvm", optimizer="fast_run")
    )


def median_milliseconds(calls):
    """Time each call in turn, in rounds; return the medians."""
    times = {name: [] for name in calls}
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(SECONDS_A_ROUND / (time.perf_counter() - start)))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name] * 1e3)
    return {name: float(np.median(t)) for name, t in times.items()}


def anew(field, number):
    """Return the same vector field as one that nobody has compiled."""

    def same(t, y, p):
        _ = number  # fields of equal code and equal values are equal to this package
        return field(t, y, p)

    return same


def median_compile_seconds(problem, makers):
    """Compile everything several times, in turn, for new vector fields; return the medians."""
    as_it_was = PROBLEMS[problem]
    seconds = {name: [] for name in makers}
    for number in range(COMPILATIONS):
        PROBLEMS[problem] = (anew(as_it_was[0], number), *as_it_was[1:])
        for name, (make, arguments) in makers.items():
            function = make()
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            seconds[name].append(time.perf_counter() - start)
    PROBLEMS[problem] = as_it_was
    return {name: float(np.median(s)) for name, s in seconds.items()}


def flat(result):
    """Return the gradients of a result as one vector."""
    return np.concatenate([np.ravel(np.asarray(x)) for x in jax.tree.leaves(result)[1:]])


def run(problem):
    field, y0, theta, times, _, y0_moves, stiff = PROBLEMS[problem]
    y0, theta = np.asarray(y0, dtype=float), np.asarray(theta, dtype=float)
    rows = theta if theta.ndim == 2 else theta[None]
    y = np.stack(
        [
            solve_ivp(
                lambda t, y, p=p: np.asarray(field(t, y, p)), (0, times[-1]), y0, "Radau",
                times, rtol=1e-6, atol=1e-9,
            ).y.T
            for p in rows[:1]
        ]
    )  # fmt: skip
    y = 1.1 * (np.broadcast_to(y, (len(rows), *y.shape[1:])) if theta.ndim == 2 else y[0])
    point = [theta, y0] if y0_moves else [theta]
    compile_seconds, calls, at_point = {}, {}, {}
    factors = np.exp(0.15 * np.random.default_rng(0).normal(size=(POINTS, *theta.shape)))

    def add(name, make, arguments):
        start = time.perf_counter()
        function = make()
        if function is None:
            return
        jax.block_until_ready(function(*arguments))
        compile_seconds[name] = time.perf_counter() - start
        if isinstance(function, pytensor.compile.Function):  # which returns when it is done
            calls[name] = lambda: function(*arguments)
        else:
            calls[name] = lambda: jax.block_until_ready(function(*arguments))
        at_point[name] = lambda p: flat(function(p, *arguments[1:]))

    solvers = ["auto", "stiff"] if stiff else ["auto", "tsit5"]
    functions = {}
    for solver in solvers:
        functions[solver] = this_package(problem, y, solver)
        add(f"this package, {solver}", partial(lambda f: f, functions[solver]), point)
    reverse = with_diffrax(problem, y, diffrax.RecursiveCheckpointAdjoint())
    forward = with_diffrax(problem, y, diffrax.ForwardMode())
    add("diffrax, reverse", lambda: gradients(reverse, problem), [theta, y0])
    add("diffrax, forward", lambda: gradients(forward, problem, True), [theta, y0])
    if not stiff:
        dopri = with_diffrax(problem, y, diffrax.RecursiveCheckpointAdjoint(), diffrax.Dopri5())
        add("diffrax, Dopri5", lambda: gradients(dopri, problem), [theta, y0])
        add("jax odeint", lambda: gradients(with_odeint(problem, y), problem), [theta, y0])
        add("pm.ode", lambda: with_pm_ode(problem, y), point)
    add("SciPy, LSODA", lambda: with_scipy(problem, y), point)
    if hasattr(pytensor, "wrap_jax"):
        add("wrap_jax(diffrax)", lambda: with_wrap_jax(problem, reverse), point)

    def in_reverse():
        return gradients(with_diffrax(problem, y, diffrax.RecursiveCheckpointAdjoint()), problem)

    makers = {
        "this package, auto": (lambda: this_package(problem, y), point),
        "diffrax, reverse": (in_reverse, [theta, y0]),
    }
    compile_seconds |= median_compile_seconds(problem, makers)

    # The kernel by itself, without what PyTensor's call costs.
    [node] = [
        n
        for n in functions[solvers[1]].maker.fgraph.toposort()
        if isinstance(n.op, LogDensity)
    ]  # fmt: skip
    truth = this_package(problem, y, "stiff" if stiff else "tsit5", rtol=1e-11, atol=1e-13)
    logarithms = {name: [] for name in calls}
    for factor in factors:
        p = theta * factor
        expected = flat(truth(p, *point[1:]))
        for name, call in at_point.items():
            difference = np.abs(call(p) - expected).max() / np.abs(expected).max()
            logarithms[name].append(np.log(difference))
    errors = {name: float(np.exp(np.mean(x))) for name, x in logarithms.items()}
    times = median_milliseconds(calls)
    base = times.get("wrap_jax(diffrax)", times["diffrax, reverse"])
    print(f"\n{problem}  ({node.op.kernel})")
    print(f"{'':26}{'ms':>9}{'times faster':>14}{'compile, s':>12}{'error':>10}")
    for name, t in times.items():
        print(f"{name:26}{t:9.3f}{base / t:14.1f}{compile_seconds[name]:12.1f}{errors[name]:10.1e}")
    return {
        "problem": problem,
        "milliseconds": times,
        "compile_seconds": compile_seconds,
        "gradient_error": errors,
    }


def main():
    jax.config.update("jax_enable_x64", True)
    rows = [run(problem) for problem in sys.argv[1:] or PROBLEMS]
    if sys.argv[1:]:
        return
    versions = {name: version(name) for name in ("pymc", "pytensor", "jax", "diffrax")}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"python": platform.python_version(), **versions, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
