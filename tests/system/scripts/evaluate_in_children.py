"""Send a model and an Op to processes started in every way that does not fork.

Prints, as JSON, what each of them and this process compute from the same numbers.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import cloudpickle
import numpy as np

from tests.system.small_model import small_model

VALUES = np.array([[0.5, -1.0], [1.5, 0.25]])


def logarithms(x):
    """A kernel of this script, which its children know only from what they are sent."""
    import jax.numpy as jnp

    return jnp.log(x**2 + 1.0)


def evaluate(pickled):
    """Return the log-density and the gradient of the model, and the value of the Op."""
    model, op = cloudpickle.loads(pickled)
    function = model.logp_dlogp_function(ravel_inputs=True, mode="FAST_COMPILE")
    function.set_extra_values({})
    start = np.array([0.1, 0.9, 0.2, 0.4, -0.3])
    logp, gradient = function._pytensor_function(start)
    return [float(logp), *map(float, gradient), *map(float, op(VALUES).eval().ravel())]


def main():
    from pymc_jaxdist.ops import log_density

    op = log_density(logarithms, VALUES, batch_ndim=2).owner.op
    pickled = cloudpickle.dumps((small_model(), op))
    results = {"parent": evaluate(pickled)}
    for method in ("spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            results[method] = pool.submit(evaluate, pickled).result()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
