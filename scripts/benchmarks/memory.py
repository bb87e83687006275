"""Whether a worker grows: its resident memory after 10 trials and after 200; `scripts/bench memory` runs it.

The trials are run in this process, as a worker runs them. Exit code 1: it grew by more than 15 %.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import psutil

from hpsearch.executors.placement import environments

os.environ.update(environments(1, 1)[0])

from with_hpsearch import experiment_of  # after the threads are set
from work import SPACES, Work

from hpsearch.jobs import perform
from hpsearch.testing.trials import FakeDriver
from hpsearch.trial import Result, TrialSpec

MOST_GROWTH = 0.15


class Chooser(FakeDriver):
    """Chooses the values of one configuration."""

    def __init__(self, params):
        super().__init__()
        self.params = params

    def suggest(self, parameter):
        return self.params[parameter.name]


def main():
    chosen = read_arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Work(chosen.model, folder, 1, chosen.rows, chosen.rows // 5)
        experiment = experiment_of(work)
        resident = []
        configurations = work.configurations()
        for number in range(chosen.trials):
            spec = TrialSpec(number, {}, number, str(Path(folder, f"{number:04d}")))
            outcome = perform(experiment, spec, Chooser(configurations[number % len(configurations)]))
            if not isinstance(outcome, Result):
                sys.exit(f"trial {number} failed: {outcome.cause}")
            resident.append(psutil.Process().memory_info().rss / 2**20)
            if number + 1 in (1, chosen.early) or (number + 1) % 25 == 0:
                print(f"after {number + 1:4} trials: {resident[-1]:.0f} MiB", flush=True)
    growth = resident[-1] / resident[chosen.early - 1] - 1
    print(f"from trial {chosen.early} to {chosen.trials}: {growth:+.1%}; allowed: {MOST_GROWTH:+.0%}")
    report = {"model": chosen.model, "trials": chosen.trials, "resident_mib": resident, "growth": growth}
    chosen.output.write_text(json.dumps(report) + "\n")
    return 1 if growth > MOST_GROWTH else 0


def read_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=SPACES, default="mlp")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--early", type=int, default=10, help="The trial to compare with. Default: 10.")
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--output", type=Path, default=Path("bench-memory.json"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
