"""Sample many times in processes, with and without a main guard: not once may it hang.

    python tests/system/repeat_fork_check.py --times 20

Prints how long each run took. Ends with an error after the first hang or failure.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.system.run_script import Hang, run_script

SCRIPTS_TO_RUN = ["matrix_products_guarded.py", "matrix_products_unguarded.py"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds until it is a hang")
    arguments = parser.parse_args()
    for run in range(1, arguments.times + 1):
        for script in SCRIPTS_TO_RUN:
            try:
                finished = run_script(script, timeout=arguments.timeout)
            except Hang as hang:
                sys.exit(f"run {run}: HANG: {hang}")
            # More lines would mean that workers ran the script from the top.
            printed = [line for line in finished.stdout.splitlines() if "after" not in line]
            if finished.returncode or printed != ["JAX has run here", "sampled"]:
                sys.exit(f"run {run}: {script} failed.\n{finished.stdout}\n{finished.stderr}")
            print(f"run {run:2}  {finished.seconds:5.1f} s  {script}", flush=True)


if __name__ == "__main__":
    main()
