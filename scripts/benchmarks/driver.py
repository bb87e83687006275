"""What a search costs besides training: thousands of trials of a millisecond, with MLflow on SQLite.

    scripts/bench driver --trials 2000 --slots 2

Prints milliseconds a trial, by quarters of the search: they must not grow. The last lines include the time
until every record had arrived in MLflow, and say how long the driver's process worked, which depends less on
what else the machine does.
"""

import argparse
import tempfile
import time
from pathlib import Path

from hpsearch.executors.local import LocalExecutor
from hpsearch.listener import Listener
from hpsearch.testing.memory_tracker import MemoryTracker
from hpsearch.testing.searching import ToySearch
from hpsearch.tracking.mlflow import MlflowTracker

EPOCHS = 10


class Ends(Listener):
    """Notes when each trial ended."""

    def __init__(self):
        self.at_s = [time.perf_counter()]

    def on_trial_finished(self, trial, best):  # noqa: ARG002
        """Notes the time."""
        self.at_s.append(time.perf_counter())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--strategy", default="random")
    parser.add_argument("--no-mlflow", action="store_true", help="keep records in memory")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        tracker = MemoryTracker() if chosen.no_mlflow else MlflowTracker(uri, "bench")
        search = ToySearch(
            Path(folder) / "bench",
            chosen.strategy,
            trials=chosen.trials,
            slots=chosen.slots,
            toy={"epochs": EPOCHS, "pause_s": 1e-3 / EPOCHS},
            tracker=tracker,
            executor=lambda: LocalExecutor(chosen.slots),
        )
        ends = Ends()
        began_s, worked_s = time.perf_counter(), time.process_time()
        search.run(ends)
        searched_s = time.perf_counter()
        tracker.finish_study(interrupted=False)
        unsent = tracker.close()
        closed_s = time.perf_counter()
        quarter = chosen.trials // 4
        for first in range(0, 4 * quarter, quarter):
            spent_ms = (ends.at_s[first + quarter] - ends.at_s[first]) * 1000 / quarter
            print(f"trials {first:5} to {first + quarter:5}: {spent_ms:6.1f} ms a trial")
        for what, until_s in (("search", searched_s), ("with the last records", closed_s)):
            print(f"{what}: {(until_s - began_s) * 1000 / chosen.trials:.1f} ms a trial")
        print(f"processor: {(time.process_time() - worked_s) * 1000 / chosen.trials:.1f} ms a trial")
        print(f"not sent: {list(unsent) or 'nothing'}")


if __name__ == "__main__":
    main()
