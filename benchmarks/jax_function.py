"""`jax_function` against `pytensor.wrap_jax`: value and all gradients of a log-density.

The claim: at least 1.3 times faster, because value and gradient are one call with one forward
pass. `wrap_jax` calls JAX twice, and the second call repeats the forward pass. Compiled by
PyTensor's default mode, called in turn in one process; the fastest of many rounds,
which other work on the machine disturbs least.
"""

import json
import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor import wrap_jax

import pymc_jaxdist as pmj

# wrap_jax in Numba's object mode.
warnings.filterwarnings("ignore", message="Numba will use object mode")

RESULTS = Path(__file__).parent / "results" / "jax_function.json"
ROUNDS = 80
TIMES = np.linspace(0.5, 10.0, 20)
IMAGES = np.random.default_rng(0).normal(size=(100, 8, 8))


def predator_and_prey(theta, start, adjoint=None):
    """Solve the Lotka-Volterra equations."""

    def field(t, y, theta):
        a, b, c, d = theta
        return jnp.stack([a * y[0] - b * y[0] * y[1], -c * y[1] + d * y[0] * y[1]])

    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        0.0,
        10.0,
        0.1,
        start,
        theta,
        saveat=diffrax.SaveAt(ts=TIMES),
        stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-6),
        adjoint=adjoint or diffrax.RecursiveCheckpointAdjoint(),
    ).ys


def predator_and_prey_forward(theta, start):
    """The same, differentiated by forward sensitivities, which wrap_jax has no way to ask for."""
    return predator_and_prey(theta, start, adjoint=diffrax.ForwardMode())


def perceptron(first, second, x):
    """Return the logits of a network with one hidden layer."""
    return jnp.tanh(x.reshape(len(x), -1) @ first) @ second


def forward_algorithm(log_p, log_trans):
    """Log-likelihood of a hidden Markov model, summed out in log space."""

    def step(alpha, row):
        return jax.nn.logsumexp(alpha[:, None] + log_trans, axis=0) + row, None

    alpha, _ = jax.lax.scan(step, log_p[0], log_p[1:])
    return jax.nn.logsumexp(alpha)


def squared(x):
    """Return minus a sum of squares: nothing but the cost of a call."""
    return -jnp.sum(x**2)


def cases():
    """Yield a name, inputs, a function from a wrapper to a log-density, and a point."""
    x = pt.tensor("x", shape=(10,))
    yield "a sum of squares", [x], lambda wrap: wrap(squared)(x), [np.ones(10)]

    y = np.ones(10)
    yield (
        "exp under a Normal",
        [x],
        lambda wrap: -0.5 * pt.sum((y - wrap(jnp.exp)(x)) ** 2),
        [np.zeros(10)],
    )

    log_p = np.random.default_rng(0).normal(size=(200, 4))
    scale, trans = pt.dscalar("scale"), pt.tensor("trans", shape=(4, 4))
    yield (
        "forward algorithm",
        [scale, trans],
        lambda wrap: wrap(forward_algorithm)(scale * log_p, trans),
        [1.0, np.log(np.full((4, 4), 0.25))],
    )

    theta, start = pt.tensor("theta", shape=(4,)), pt.tensor("start", shape=(2,))
    counts = np.random.default_rng(0).normal(10, 1, size=(20, 2))
    point = [np.array([0.55, 0.028, 0.84, 0.026]), np.array([33.0, 6.0])]
    yield (
        "diffrax under a Normal",
        [theta, start],
        lambda wrap: -0.5 * pt.sum((counts - wrap(predator_and_prey)(theta, start)) ** 2),
        point,
    )

    def in_forward_mode(wrap):
        if wrap is wrap_jax:
            return -0.5 * pt.sum((counts - wrap(predator_and_prey)(theta, start)) ** 2)
        solve = wrap(predator_and_prey_forward, derivatives="forward")
        return -0.5 * pt.sum((counts - solve(theta, start)) ** 2)

    yield "diffrax, forward mode", [theta, start], in_forward_mode, point

    first, second = pt.tensor("first", shape=(64, 30)), pt.tensor("second", shape=(30, 10))
    labels = np.arange(100) % 10

    def classification(wrap):
        logits = wrap(perceptron)(first, second, pt.as_tensor(IMAGES))
        log_probs = logits - pt.logsumexp(logits, axis=-1, keepdims=True)
        return log_probs[np.arange(100), labels].sum()

    rng = np.random.default_rng(0)
    point = [0.1 * rng.normal(size=(64, 30)), 0.1 * rng.normal(size=(30, 10))]
    yield "images, Categorical", [first, second], classification, point


def compile_with(wrap, inputs, build):
    """Compile value and gradients of a log-density built with a wrapper."""
    logp = build(wrap)
    function = pytensor.function(inputs, [logp, *pt.grad(logp, inputs)])
    function.trust_input = True
    return function


def compare(functions, point):
    """Check that all agree; return microseconds of each, called in turn."""
    reference, *others = (function(*point) for function in functions.values())
    for other in others:
        for mine, theirs in zip(reference, other, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8)
    start = time.perf_counter()
    next(iter(functions.values()))(*point)
    calls = max(3, int(0.004 / (time.perf_counter() - start)))
    times = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls):
                function(*point)
            times[name].append((time.perf_counter() - start) / calls * 1e6)
    return {name: float(np.min(t)) for name, t in times.items()}


def main():
    rows = []
    for name, inputs, build, point in cases():
        functions = {
            "jax_function": compile_with(pmj.jax_function, inputs, build),
            "wrap_jax": compile_with(wrap_jax, inputs, build),
        }
        times = compare(functions, [np.asarray(x, dtype="float64") for x in point])
        ratio = times["wrap_jax"] / times["jax_function"]
        rows.append({"case": name, "microseconds": times, "ratio": ratio})
        print(
            f"{name:>24}   jax_function {times['jax_function']:9.1f}"
            f"   wrap_jax {times['wrap_jax']:9.1f} microseconds   {ratio:.2f}x"
        )
    versions = {package: version(package) for package in ("pymc", "pytensor", "jax", "diffrax")}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"python": platform.python_version(), **versions, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
