"""How parameters lie in arrays."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_array_equal

from pymc_jaxdist.kernels.ode.layout import Argument, Layout, Structure


def test_what_was_packed_is_unpacked():
    """Numbers, vectors and matrices, some of them differentiable, for three subjects."""
    shapes = [(), (2,), (2, 3), (4,), ()]
    leaves = [np.arange(3.0 * np.prod(s)).reshape(3, *s) + 100 * i for i, s in enumerate(shapes)]
    moving = [True, False, True, True, False]
    layout = Layout(leaves, [Argument(batched=True, differentiable=x) for x in moving])
    theta, fixed = layout.pack([jnp.asarray(x) for x in leaves], 3)
    assert theta.shape == (3, 1 + 6 + 4)
    assert len(fixed) == 2
    for i in range(3):
        found = layout.unpack(theta[i], [x[i] for x in fixed])
        for own, leaf in zip(found, leaves, strict=True):
            assert_array_equal(own, leaf[i])


def test_nothing_is_packed_if_nothing_is_differentiable():
    leaves = [jnp.ones((3, 2))]
    theta, fixed = Layout(leaves, [Argument(True, False)]).pack(leaves, 3)
    assert theta.shape == (3, 0)
    assert len(fixed) == 1


def test_structures_are_values():
    tree = {"a": 1, "b": (2, 3)}
    structure = Structure(jax.tree.structure(tree))
    assert structure.num_leaves == 3
    assert structure.unflatten([1, 2, 3]) == tree
    other = pickle.loads(pickle.dumps(structure))
    assert other == structure
    assert hash(other) == hash(structure)
    assert structure != Structure(jax.tree.structure([1, 2, 3]))
    assert structure != tree
