"""How the parameters of an equation, a pytree as the user has it, lie in arrays."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Argument", "Layout", "Structure"]


class Argument(NamedTuple):
    """How one array among the arguments of an equation is to be read.

    Attributes
    ----------
    batched : bool
        Whether its leading dimensions are those of the subjects.
    differentiable : bool
        Whether the solution is differentiated by it.
    """

    batched: bool
    differentiable: bool


class Structure:
    """How leaves make a pytree; unlike a PyTreeDef it can be pickled whatever it holds."""

    def __init__(self, treedef: Any) -> None:
        self.treedef = treedef
        self.num_leaves: int = treedef.num_leaves

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """Return the pytree of leaves."""
        return jax.tree.unflatten(self.treedef, leaves)

    def __hash__(self) -> int:
        return hash(self.treedef)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and self.treedef == other.treedef

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_structure, (self.unflatten(range(self.num_leaves)),)


def _restore_structure(example: Any) -> Structure:
    return Structure(jax.tree.structure(example))


class Layout:
    """How the leaves of the parameters lie in ``theta`` and ``fixed``."""

    def __init__(self, leaves: Sequence[jax.Array], arguments: Sequence[Argument]) -> None:
        self.shapes = [leaf.shape[1:] for leaf in leaves]
        self.differentiable = [argument.differentiable for argument in arguments]

    def pack(
        self, leaves: Sequence[jax.Array], n_subjects: int
    ) -> tuple[jax.Array, list[jax.Array]]:
        """Return ``theta (N, p)`` and the leaves that are not part of it."""
        moving = [
            leaf.reshape(leaf.shape[0], -1)
            for leaf, differentiable in zip(leaves, self.differentiable, strict=True)
            if differentiable
        ]
        fixed = [
            leaf
            for leaf, differentiable in zip(leaves, self.differentiable, strict=True)
            if not differentiable
        ]
        theta = jnp.concatenate(moving, axis=1) if moving else jnp.zeros((n_subjects, 0))
        return theta, fixed

    def unpack(self, theta: jax.Array, fixed: Sequence[jax.Array]) -> list[jax.Array]:
        """Return the leaves of one subject."""
        leaves, start, rest = [], 0, iter(fixed)
        for shape, differentiable in zip(self.shapes, self.differentiable, strict=True):
            if differentiable:
                size = int(np.prod(shape))
                leaves.append(theta[start : start + size].reshape(shape))
                start += size
            else:
                leaves.append(next(rest))
        return leaves
