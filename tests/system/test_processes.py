"""Sampling in processes: it finishes, or says at once what to do, and never hangs."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest
from jupyter_client.manager import KernelManager
from numpy.testing import assert_allclose

from tests.system.run_script import ROOT, SCRIPTS, run_script
from tests.system.small_model import small_model

# A run takes 15 s on a busy machine, nearly all of it imports and compilation.
HANGS_AFTER = 120

pytestmark = pytest.mark.slow


def test_sampling_finishes_with_and_without_a_main_guard_again_and_again():
    script = Path(__file__).parent / "repeat_fork_check.py"
    done = subprocess.run(
        [sys.executable, str(script), "--times", "2", "--timeout", str(HANGS_AFTER)],
        capture_output=True,
        text=True,
        timeout=5 * HANGS_AFTER,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4, done.stdout


def test_explicit_forking_says_at_once_what_to_write_instead():
    done = run_script("matrix_products_guarded.py", "mp_ctx=fork", timeout=HANGS_AFTER)
    assert done.returncode != 0
    seconds = float(re.search(r"after ([0-9.]+) s", done.stdout).group(1))
    assert seconds < 15, done.stdout
    assert "ForkedProcessError" in done.stderr
    assert "pm.sample(..., mp_ctx='forkserver')" in done.stderr


def test_spawned_processes():
    done = run_script("matrix_products_guarded.py", "mp_ctx=spawn", timeout=HANGS_AFTER)
    assert done.stdout.splitlines()[-1:] == ["sampled"], done.stderr


class Notebook:
    """A Jupyter kernel and what its cells print."""

    def __init__(self, folder):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=HANGS_AFTER)

    def run(self, cell):
        """Run a cell; return what it printed to stdout."""
        printed = []

        def hook(message):
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                printed.append(content["text"])

        reply = self.client.execute_interactive(cell, timeout=HANGS_AFTER, output_hook=hook)
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"]["traceback"])
        return "".join(printed)

    def close(self):
        group = self.manager.provisioner.pid
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)  # workers that hang


@pytest.fixture
def notebook(tmp_path):
    notebook = Notebook(tmp_path)
    yield notebook
    notebook.close()


def test_sampling_finishes_in_a_notebook(notebook):
    source = (SCRIPTS / "matrix_products_unguarded.py").read_text(encoding="utf-8")
    building, sampling = source.split("\n# %%\n")
    assert notebook.run(building) == "JAX has run here\n"
    assert notebook.run(sampling) == "sampled\n"
    assert notebook.run(sampling) == "sampled\n"


def test_a_model_and_an_op_mean_the_same_in_a_child_process():
    done = run_script("evaluate_in_children.py", timeout=HANGS_AFTER)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert set(results) == {"parent", "spawn", "forkserver"}
    for method in ("spawn", "forkserver"):
        assert_allclose(results[method], results["parent"], rtol=1e-14)


def test_a_pickled_model_is_sampled_in_a_fresh_process(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(cloudpickle.dumps(small_model()))
    done = run_script("sample_pickled_model.py", path, timeout=HANGS_AFTER, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_allclose([float(mean) for mean in done.stdout.split()], [0.0, 3.0], atol=0.5)


def test_functions_defined_in_a_script_reach_its_children():
    done = run_script("own_functions_in_children.py", timeout=HANGS_AFTER)
    assert done.stdout.splitlines()[-1:] == ["finished"], done.stderr
