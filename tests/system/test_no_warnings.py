"""An ordinary model is built, sampled and judged without a word of complaint."""

import re

import pytest

from tests.system.run_script import run_script

# What PyMC and PyTensor print that is not about the model.
NOT_ABOUT_THE_MODEL = [
    # How PyTensor was installed: one warning of several lines, from parent and workers.
    r".*could not link to a BLAS installation.*",
    r"This usually happens when PyTensor is installed via pip.*",
    r"Alternatively, you can use an experimental backend such as Numba or JAX.*",
    r"For more options and details see https://pytensor\.readthedocs\.io.*",
    r"\s*warnings\.warn\(",
    # Progress, which goes to stderr.
    r"Initializing NUTS using jitter\+adapt_diag\.\.\.",
    r"Multiprocess sampling \(4 chains in 2 jobs\)",
    r"NUTS: \[mu, sigma, transitions\]",
    r"Sampling: \[.*\]",
    r"Sampling 4 chains for 500 tune and 500 draw iterations .* took \d+ seconds\.",
]


@pytest.mark.slow
def test_a_whole_workflow_prints_nothing_but_progress():
    """In a process of its own, because warnings of worker processes reach only its stderr."""
    done = run_script("whole_workflow.py", timeout=300)
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    unexpected = [
        line
        for line in lines
        if line.strip() and not any(re.fullmatch(known, line) for known in NOT_ABOUT_THE_MODEL)
    ]
    assert unexpected == ["done"]
