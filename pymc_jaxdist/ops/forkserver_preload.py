"""What the fork server imports before it forks the first worker.

Not for import elsewhere: it claims that ``__main__`` is the user's script already. That keeps
`multiprocessing` from running an unguarded script again in each worker.
"""

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec

from pymc_jaxdist.ops.processes import UNGUARDED_MAIN, UNGUARDED_MODULE

_script = os.environ.get(UNGUARDED_MAIN)
if _script is not None:
    sys.modules["__main__"].__file__ = _script
_name = os.environ.get(UNGUARDED_MODULE)
if _name is not None:
    sys.modules["__main__"].__spec__ = ModuleSpec(_name, None)

# By name: this room does not know PyMC, but its workers will.
for _module in ("pymc", "pymc_jaxdist", "pymc_jaxdist.ops.pytensor_op_dispatch"):
    if importlib.util.find_spec(_module) is not None:
        importlib.import_module(_module)
