"""What strategies find by real training: a CNN on Fashion-MNIST, the same epochs for each strategy and seed.

    HPSEARCH_DATA_DIR=~/data scripts/bench search --seeds 5

Columns are the best validation accuracy once so many epochs were trained, by all trials together, and the
test accuracy of the model that was best in the end: mean ± standard error over the seeds. Which rows are
trained on is the same for all; a seed decides what is proposed, and the first weights.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import hpsearch
from hpsearch.listener import Listener

METRIC = "val_accuracy"
STRATEGIES = ("random", "bayesian", "asha")
SPACE = {
    "blocks": 2,
    "kernel_size": 3,
    "padding": "same",
    "filters_1": [8, 16, 32],
    "filters_2": [16, 32, 64],
    "dense_units": [32, 64, 128, 256],
}
"""Small networks, to save time; the training settings are searched in the whole ranges of the model."""


class Course(Listener):
    """Notes the best value after each epoch; a trial that goes on reports the earlier ones again."""

    def __init__(self):
        self.best = []
        self._seen = set()

    def on_epoch(self, number, epoch):
        """Notes it, unless it was noted."""
        if (number, epoch.number) not in self._seen:
            self._seen.add((number, epoch.number))
            self.best.append(max(epoch.metrics[METRIC], self.best[-1] if self.best else 0.0))


def search(strategy, seed, chosen, folder):
    """Runs one search; returns the best value at each budget, and the champion's test accuracy."""
    course = Course()
    study = hpsearch.search(
        hpsearch.Experiment(
            name=f"{strategy}_{seed}",
            model={"name": "cnn", "options": {"max_blocks": 2}},
            data={"name": "fashion_mnist", "options": {"train_rows": chosen.rows}, "validation": 0.3},
            objective=METRIC,
            search={
                "strategy": strategy,
                "seed": seed,
                "space": SPACE,
                "total_epochs": chosen.trainings[-1] * chosen.epochs,
            },
            training={"epochs": chosen.epochs, "batch_size": 64},
            tracking={"uri": f"sqlite:///{folder}/mlflow.db", "report": False},
            export={"formats": []},
            workdir=f"{folder}/runs",
        ),
        listener=course,
    )
    values = [course.best[n * chosen.epochs - 1] for n in chosen.trainings]
    return [*values, study.champion["test"]["test_accuracy"]]


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench search", description=__doc__.partition("\n")[0])
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6, help="Of a whole trial. Default: 6.")
    parser.add_argument("--rows", type=int, default=5_000, help="70 % are trained on. Default: 5,000.")
    parser.add_argument(
        "--trainings", type=int, nargs="+", default=[3, 6, 10], help="Budgets, in whole trials' epochs."
    )
    parser.add_argument("--output", type=Path, default=Path("bench-search.json"))
    chosen = parser.parse_args()
    head = [f"{n * chosen.epochs} epochs" for n in chosen.trainings]
    print("| strategy |", " | ".join([*head, "test"]), "|")
    print("| --- |", " ---: |" * (len(head) + 1), sep="")
    found = {}
    for strategy in chosen.strategies:
        rows = found[strategy] = []
        for seed in range(chosen.seeds):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                rows.append(search(strategy, seed, chosen, folder))
            chosen.output.write_text(json.dumps(found, indent=2) + "\n")
        error = np.std(rows, axis=0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.zeros(len(rows[0]))
        cells = [f"{mean:.4f} ±{each:.4f}" for mean, each in zip(np.mean(rows, axis=0), error, strict=True)]
        print(f"| `{strategy}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
