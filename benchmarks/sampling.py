"""Whole hidden Markov models: time to first draw, and effective samples per second.

notebook     70 sequences of 51 values, 3 states, Normal: the model of PyMC's notebook on JAX
earthquakes  107 counts, 3 states, Poisson, stationary
ten states   200 sequences of 200 values, 10 states, Normal

ours, ...         this package with PyMC's sampler (Numba backend, or C), nutpie, and NumPyro
pymc-extras, ...  ``marginalize`` of a ``DiscreteMarkovChain``, with the same samplers
priors alone      no likelihood, to see what of the first draw is not the package's
two Ops           a forward algorithm in JAX, its value and its VJP each wrapped as an Op by hand
NumPyro           a scan whose states NumPyro sums out (enumeration needs funsor), or by hand
Stan              ``hmm_marginal``, through PyStan

Two chains, one after the other in one process (those of Stan in two). Each figure comes from a
fresh process; packages are imported before the clock starts. Seconds are those of the processor,
of all threads and children, so that it does not matter what else runs on the machine; the results
hold wall times too. With ``taskset -c 1`` the two are the same on a machine that is quiet.

first draw  from an empty ``pm.Model()`` to the end of a run of one tuning step and one draw in each
            chain. Cold: all caches (PyTensor, Numba, Stan) are new and empty. Warm: the same once
            more, with the caches which that left.
sampling    a whole run, warm caches, beyond the warm first draw. Less than two seconds are lost in
            the noise of compiling, and no speed is computed from them.
ESS         the smallest bulk effective sample size of any parameter, over all chains

A way whose packages are missing is left out. Another interpreter may have them:
``--python "Stan=/path/to/python"``. A run that takes longer than the limit counts as that.

Run: ``python benchmarks/sampling.py [--quick] [--models ...] [--ways ...]``. Needs PyMC 6. Given
models or ways, it replaces their rows of the results.
"""

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from whole_models import CHAINS, MODELS, WAYS

RESULTS = Path(__file__).parent / "results" / "sampling.json"
DRAWS = {"notebook": 500, "earthquakes": 500, "ten states": 300}
PACKAGES = (
    "pymc",
    "pytensor",
    "jax",
    "numba",
    "numpyro",
    "nutpie",
    "pymc-extras",
    "funsor",
    "pystan",
)
NOT_INSTALLED = 3
NOISE = 2.0
Row = dict[str, Any]


def sample(model: str, way: str, draws: int, tune: int, path: str) -> None:
    """Sample in this process; leave seconds, draws and versions in a file."""
    try:
        run = WAYS[way](model)
    except ModuleNotFoundError as missing:
        print(missing, file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    begin, computing = time.perf_counter(), processor_seconds()
    found = run(draws, tune)
    seconds = time.perf_counter() - begin
    computing = processor_seconds() - computing
    times = {"wall_s": seconds, "s": computing}
    np.savez(path, times=json.dumps(times), versions=json.dumps(versions()), **found)


def processor_seconds() -> float:
    """Measure what this process and its children have computed."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


class TooLongError(Exception):
    pass


def in_fresh_process(
    interpreter: str, model: str, way: str, draws: int, tune: int, caches: str, limit: int
) -> dict[str, np.ndarray]:
    path = str(Path(caches) / "draws.npz")
    flags = os.environ.get("PYTENSOR_FLAGS", "").split(",")
    flags = [flag for flag in flags if flag and not flag.startswith("base_compiledir")]
    environment = {
        **os.environ,
        "PYTENSOR_FLAGS": ",".join([*flags, f"base_compiledir={caches}/pytensor"]),
        "NUMBA_CACHE_DIR": f"{caches}/numba",
        "XDG_CACHE_HOME": caches,
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }
    process = subprocess.run(
        [interpreter, __file__, "--cell", model, way, str(draws), str(tune), path],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_CPU, (limit, limit)),
    )
    errors = process.stderr
    # A process that samples in others, as Stan's, outlives them.
    ended = process.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
    if ended or b"BrokenProcessPool" in errors:
        raise TooLongError(f"over {limit} s")
    if process.returncode == NOT_INSTALLED:
        raise ModuleNotFoundError(errors.decode().strip())
    if process.returncode:
        raise RuntimeError(f"{model}, {way}:\n{errors.decode()}")
    with np.load(path) as found:
        return dict(found)


def measure(interpreter: str, model: str, way: str, draws: int, limit: int) -> Row:
    import arviz as az

    row: Row = {}
    runs = {"first_draw_cold": 1, "first_draw_warm": 1, "whole_run": draws}
    if way.startswith("priors alone"):
        del runs["whole_run"]
    with tempfile.TemporaryDirectory() as caches:
        try:
            for name, steps in runs.items():
                found = in_fresh_process(interpreter, model, way, steps, steps, caches, limit)
                times = json.loads(str(found.pop("times")))
                row |= {f"{name}_{what}": seconds for what, seconds in times.items()}
        except TooLongError as too_long:
            row["stopped"] = str(too_long)
            return row
    row["versions"] = json.loads(str(found.pop("versions")))
    if "whole_run" not in runs:
        return row
    row["sampling_s"] = row["whole_run_s"] - row["first_draw_warm_s"]
    sampled = az.from_dict({"posterior": found})
    row["ess"] = min(float(x.min()) for x in az.ess(sampled).values())
    row["r_hat"] = max(float(x.max()) for x in az.rhat(sampled).values())
    if row["sampling_s"] > NOISE:
        row["ess_per_s"] = row["ess"] / row["sampling_s"]
    row["ess_per_s_of_whole_run"] = row["ess"] / row["whole_run_s"]
    row["means"] = {name: x.mean(axis=(0, 1)).tolist() for name, x in found.items()}
    return row


def keep(model: str, way: str, row: Row) -> None:
    saved = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"models": {}}
    saved |= {"draws": DRAWS, "chains": CHAINS}
    saved["models"].setdefault(model, {})[way] = row
    RESULTS.write_text(json.dumps(saved, indent=2) + "\n")


def line(model: str, way: str, row: Row) -> str:
    columns = {
        "first_draw_cold_s": "9.1f",
        "first_draw_warm_s": "9.1f",
        "sampling_s": "9.1f",
        "ess": "7.0f",
        "r_hat": "6.2f",
        "ess_per_s": "8.1f",
        "ess_per_s_of_whole_run": "8.1f",
    }
    cells = [
        format(row[name], form) if name in row else " " * int(form.split(".")[0])
        for name, form in columns.items()
    ]
    cells.append(row.get("stopped", ""))
    return f"{model:>11} {way:<22}{' '.join(cells)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50 draws; saves nothing")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--limit", type=int, default=300, help="seconds of each process")
    parser.add_argument("--python", action="append", default=[], metavar="WAY=INTERPRETER")
    parser.add_argument("--cell", nargs=5, metavar=("MODEL", "WAY", "DRAWS", "TUNE", "FILE"))
    arguments = parser.parse_args()
    if arguments.cell is not None:
        model, way, draws, tune, path = arguments.cell
        sample(model, way, int(draws), int(tune), path)
        return
    interpreters = dict(each.split("=", 1) for each in arguments.python)
    print(
        f"{'':34}{'cold':>9} {'warm':>9} {'sampling':>9} {'ESS':>7} {'R-hat':>6}    ESS/s whole run"
    )
    for model in arguments.models:
        for way in arguments.ways:
            draws = 50 if arguments.quick else DRAWS[model]
            interpreter = interpreters.get(way, sys.executable)
            try:
                row = measure(interpreter, model, way, draws, arguments.limit)
            except ModuleNotFoundError as missing:
                print(f"{model:>11} {way:<22} {missing}", flush=True)
                continue
            except RuntimeError as failure:
                print(failure, flush=True)
                continue
            print(line(model, way, row), flush=True)
            if not arguments.quick:
                keep(model, way, row)


if __name__ == "__main__":
    main()
