"""JAX code in PyMC: the examples of PyMC's two JAX notebooks with the tools of this package.

The notebooks "Wrapping JAX functions for use in PyTensor" and "Using JAX for faster sampling" write
Ops by hand. Here: an elementwise function; an ordinary differential equation solved by diffrax,
with an unknown initial value; a Flax network for images; and a hidden Markov model, once as a
function of JAX and once as the distribution that this package has for it.

Run ``python examples/jax_notebooks.py``; it prints log-density and gradient of each model in
PyTensor's C, Numba and JAX backends, and the largest difference between them.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from flax import linen as nn
from pytensor.compile.mode import Mode, get_mode

import pymc_jaxdist as pmj

BACKENDS = {
    "C": Mode(linker="cvm", optimizer="fast_run"),
    "Numba": get_mode("NUMBA"),
    "JAX": get_mode("JAX"),
}


def elementwise():
    """Return a model with ``jnp.exp``."""
    with pm.Model() as model:
        x = pm.Normal("x", shape=3)
        pm.Normal("y", pmj.jax_function(jnp.exp)(x), 0.5, observed=[1.0, 2.0, 3.0])
    return model


TIMES = np.linspace(0.0, 3.0, 16)


@pmj.jax_function
def decay(rate, start):
    """Solve dy/dt = -rate y."""
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, rate: -rate * y),
        diffrax.Tsit5(),
        t0=TIMES[0],
        t1=TIMES[-1],
        dt0=0.1,
        y0=start,
        args=rate,
        saveat=diffrax.SaveAt(ts=TIMES),
        stepsize_controller=diffrax.PIDController(rtol=1e-8, atol=1e-8),
    )
    return solution.ys


def differential_equation():
    """Return a model of noisy observations of a solution with unknown rate and start."""
    rng = np.random.default_rng(0)
    observed = 2.0 * np.exp(-0.8 * TIMES) + 0.1 * rng.normal(size=16)
    with pm.Model() as model:
        rate = pm.HalfNormal("rate")
        start = pm.HalfNormal("start", 2.0)
        sigma = pm.HalfNormal("sigma", 0.5)
        pm.Normal("y", decay(rate, start), sigma, observed=observed)
    return model


class Convolutional(nn.Module):
    """A small network for images of two kinds."""

    @nn.compact
    def __call__(self, x):
        """Return one logit for each image."""
        x = jnp.tanh(nn.Conv(2, (3, 3), strides=2, name="conv")(x))
        return nn.Dense(1, name="head")(x.reshape(len(x), -1))


def images():
    """Return a model that tells images with horizontal from those with vertical stripes."""
    rng = np.random.default_rng(0)
    kind = rng.integers(2, size=40)
    stripes = np.sin(np.arange(8) * np.pi / 2 + rng.uniform(0, np.pi, (40, 1)))
    x = np.where(kind[:, None, None] == 1, stripes[:, None, :], stripes[:, :, None])
    x = (x + 0.3 * rng.normal(size=(40, 8, 8)))[..., None]
    net = Convolutional()
    with pm.Model() as model:
        weights = pmj.nn_priors("net", net, x)
        pmj.NeuralNetObserved(
            "kind",
            net,
            weights,
            x,
            likelihood=lambda out: pm.Bernoulli.dist(logit_p=out[..., 0]),
            observed=kind,
        )
    return model


SIGNAL, NOISE = 1.15, 0.15
INITIAL = np.array([0.9, 0.09, 0.01])
MATRIX = np.array([[0.9, 0.09, 0.01], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])


def sequences():
    """Draw sequences of three hidden states, each seen with noise."""
    rng = np.random.default_rng(0)
    states = np.zeros((20, 30), dtype=int)
    for n in range(20):
        states[n, 0] = rng.choice(3, p=INITIAL)
        for t in range(1, 30):
            states[n, t] = rng.choice(3, p=MATRIX[states[n, t - 1]])
    return (states + 1) * SIGNAL + NOISE * rng.normal(size=states.shape)


def one_sequence(y, initial_logit, matrix_logit, signal, noise):
    """Log-likelihood of one sequence by the forward algorithm."""
    states = jnp.arange(1, 4)
    log_p = jax.scipy.stats.norm.logpdf(y[:, None], states * signal, noise)
    log_matrix = jax.nn.log_softmax(matrix_logit, axis=-1)

    def step(alpha, row):
        return jax.nn.logsumexp(alpha[:, None] + log_matrix, axis=0) + row, None

    start = jax.nn.log_softmax(initial_logit) + log_p[0]
    alpha, _ = jax.lax.scan(step, start, log_p[1:])
    return jax.nn.logsumexp(alpha)


def hidden_markov(own_function):
    """Return the hidden Markov model, by a function of ours or by `MarginalHMM`."""
    y = sequences()
    with pm.Model() as model:
        initial = pm.Normal("initial_logit", 0, 10, shape=3)
        matrix = pm.Normal("matrix_logit", 0, 10, shape=(3, 3))
        signal, noise = pm.Normal("signal", 0, 10), pm.HalfNormal("noise", 10)
        if own_function:
            parameters = (initial, matrix, signal, noise)
            signature = "(k),(k,k),(),()->(t)"
            pmj.JaxDist("y", one_sequence, *parameters, signature=signature, observed=y)
        else:
            emission = pm.Normal.dist(np.arange(1, 4) * signal, noise)
            rows = pm.math.softmax(matrix, axis=-1)
            pmj.MarginalHMM("y", emission, rows, pm.math.softmax(initial), observed=y)
    return model


def logp_and_gradient(model, mode):
    """Evaluate log-density and gradient a little away from the initial point."""
    logp = model.logp()
    function = pytensor.function(
        model.value_vars,
        [logp, pt.concatenate([g.ravel() for g in pt.grad(logp, model.value_vars)])],
        mode=mode,
    )
    rng = np.random.default_rng(1)
    point = model.initial_point()
    return [
        np.asarray(x)
        for x in function(
            *(point[v.name] + 0.1 * rng.normal(size=point[v.name].shape) for v in model.value_vars)
        )
    ]


MODELS = {
    "exp": elementwise,
    "diffrax": differential_equation,
    "Flax CNN": images,
    "HMM, one function": lambda: hidden_markov(own_function=True),
    "HMM, MarginalHMM": lambda: hidden_markov(own_function=False),
}


def main():
    """Evaluate each model in each backend."""
    print(f"{'':20s}{'log-density':>14s}{'|gradient|':>12s}{'largest difference':>20s}")
    for name, build in MODELS.items():
        model = build()
        results = [logp_and_gradient(model, mode) for mode in BACKENDS.values()]
        (logp, gradient), *others = results
        difference = max(
            float(np.max(np.abs(mine - theirs) / np.maximum(1, np.abs(mine))))
            for other in others
            for mine, theirs in zip((logp, gradient), other, strict=True)
        )
        size = float(np.linalg.norm(gradient))
        print(f"{name:20s}{float(logp):14.4f}{size:12.4f}{difference:20.1e}")
        if difference > 1e-9:
            raise AssertionError(f"the backends differ by {difference:.1e} for {name}")


if __name__ == "__main__":
    main()
