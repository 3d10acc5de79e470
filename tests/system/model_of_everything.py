"""One model with every distribution of the package, which share two parameters."""

import numpy as np
import pymc as pm

from tests.contract import graphs
from tests.contract.registry import ENTRIES

__all__ = ["model_of_everything"]


def model_of_everything():
    """Return a model in which every distribution of the registry tells something of ``shift``.

    Each entry's own parameter is moved by ``shift`` from where its data were made.
    """
    with pm.Model() as model:
        shift = pm.Normal("shift", 0.0, 0.5)
        scale = pm.HalfNormal("scale", 1.0)
        pm.Normal("noise", 0.0, scale, observed=np.array([0.5, -0.4, 0.3]))
        for name, entry in ENTRIES.items():
            parameters = dict(zip(entry.parameters, graphs.arguments(name, "shared"), strict=True))
            if not entry.is_distribution:
                pm.Potential(name, entry.define(graphs.observed(name) + shift, parameters).sum())
                continue
            parameters[entry.moved] = parameters[entry.moved] + shift
            entry.define(name, parameters, observed=graphs.observed(name))
    return model
