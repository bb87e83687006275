"""What the experiments on the classic data sets reach, as a Markdown table; `scripts/results` runs it.

The table goes to stdout, progress to stderr. Searches go on where they stopped, and one that is finished
starts nothing, so running this again costs seconds and prints the same table.

Exit codes: 0 every target is reached · 1 one is missed, or a search failed · 2 something is wrong with the
command line or the data · 130 interrupted.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import hpsearch
from hpsearch.cli import tables
from hpsearch.cli.progress import progress

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
HEADER = (
    "experiment",
    "data",
    "trials",
    "time",
    "validation",
    "test",
    "target",
    "`.tflite`",
    "largest difference to Keras",
)


@dataclass(frozen=True)
class Target:
    """What a test metric must reach."""

    metric: str
    least: float | None = None
    most: float | None = None

    def reached(self, test):
        value = test[self.metric]
        return value >= self.least if self.most is None else value <= self.most

    def __str__(self):
        return f"≥ {self.least:g}" if self.most is None else f"≤ {self.most:g}"


ROWS = {
    "mnist_mlp": Target("test_accuracy", least=0.975),
    "cnn_mnist": Target("test_accuracy", least=0.985),
    "rnn_mnist": Target("test_accuracy", least=0.95),
    "cnn_fashion_mnist": Target("test_accuracy", least=0.89),
    "text_lstm_sms_spam": Target("test_f1_class_spam", least=0.93),
    "mlp_california_housing": Target("test_r2", least=0.75),
    "lstm_sine": Target("test_rmse", most=0.1),
    "autoencoder_mnist": Target("test_code_knn_accuracy", least=0.75),
    # Without a target: the other architectures.
    "residual_mlp_fashion_mnist": None,
    "attention_sms_spam": None,
    "linear_california_housing": None,
    "lstm_etth1": None,
    "merge_mnist": None,
    "multi_output_mnist": None,
    "siamese_mnist": None,
}


def main():
    options = read_arguments()
    missed = []
    lines = ["| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
    for name in options.names or ROWS:
        try:
            study = search(name, options.set)
        except hpsearch.HpsearchError as error:
            print(error, file=sys.stderr)
            missed.append(name)
            continue
        if study.state == "interrupted":
            print("Interrupted; the same command continues.", file=sys.stderr)
            return 130
        target = ROWS[name]
        if target and not target.reached(study.champion["test"]):
            missed.append(name)
        lines.append("| " + " | ".join(row(study, target)) + " |")
    print(*lines, sep="\n")
    if missed:
        print(f"Not reached: {', '.join(missed)}.", file=sys.stderr)
    return 1 if missed else 0


def read_arguments():
    parser = argparse.ArgumentParser(prog="scripts/results", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Default: all of {', '.join(ROWS)}.")
    parser.add_argument("--workdir", metavar="DIR", help="Folder of the studies. Default: runs.")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="As of hpsearch run.")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in ROWS]:
        parser.error(f"no such experiment: {', '.join(unknown)}; choose from {', '.join(ROWS)}")
    if not os.environ.get("HPSEARCH_DATA_DIR"):
        parser.error("set HPSEARCH_DATA_DIR to the folder that holds mnist/, sms_spam/, ...")
    if options.workdir:
        options.set.append(f"workdir={options.workdir}")
    return options


def search(name, overrides):
    """Searches, or looks at what an earlier call has found."""
    experiment = hpsearch.Experiment.load(EXPERIMENTS / f"{name}.yaml", overrides)
    with progress(experiment, tables.console(stderr=True)) as listener:
        return hpsearch.search(experiment, listener=listener)


def row(study, target):
    """Describes a finished study: a cell for each column of the header."""
    champion, data = study.champion, study.facts["data"]
    export = next(each for each in champion["exports"] if each["format"] == "float32")
    tested = [f"test_{metric.removeprefix('val_')}" for metric in study.objectives]
    if target and target.metric not in tested:
        tested.append(target.metric)
    return (
        study.name,
        f"{data['name']}, {data['sizes']['train']:,} rows",
        str(len(study.trials)),
        tables.duration(searched_s(study)),
        scores(champion["values"], study.objectives),
        scores(champion["test"], tested),
        str(target) if target else "",
        f"{export['size_bytes'] / 1024:.0f} KiB",
        f"{export['largest_difference']:.1e}",
    )


def scores(values, metrics):
    """Names and writes metrics: `accuracy 0.9801`."""
    return ", ".join(
        f"{metric.removeprefix('val_').removeprefix('test_')} {tables.score(values[metric])}"
        for metric in metrics
    )


def searched_s(study):
    """Adds up the seconds in which trials ran, however many ran at a time and however often it stopped."""
    total_s, until_s = 0.0, 0.0
    for trial in sorted(study.trials, key=lambda trial: trial.started_at):
        start_s = trial.started_at.timestamp()
        end_s = start_s + (trial.duration_s or 0.0)
        total_s += max(0.0, end_s - max(start_s, until_s))
        until_s = max(until_s, end_s)
    return total_s


if __name__ == "__main__":
    sys.exit(main())
