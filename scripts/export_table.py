"""Every built-in architecture in five TFLite modes, as a Markdown table; `scripts/export_table` runs it.

Each is trained for a few epochs on data that need no file, then exported. The table goes to stdout, progress
to stderr. A cell says how large the file is, how long one row takes (one thread, XNNPACK), the largest
difference to Keras, and what F1 or R² becomes, in hundredths.

Exit codes: 0 all is as IMPOSSIBLE says · 1 something is not · 2 the command line is wrong.
"""

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import hpsearch
from hpsearch.assemble import export_models
from hpsearch.trial import ExportResult
from hpsearch.variants import told_score

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
MODES = ("float32", "float16", "dynamic_range", "int8", "int16x8")


@dataclass(frozen=True)
class Architecture:
    """What is trained: an experiment, and how."""

    experiment: str
    epochs: int
    space: dict


NO_RANGES = "recorded during calibration"
"""LiteRT's converter finds no ranges for what it computes from integers, such as a word's number."""
IMPOSSIBLE = {
    ("attention", "int16x8"): NO_RANGES,
    ("text_lstm", "int16x8"): NO_RANGES,
}
"""What LiteRT 2.3 and TensorFlow 2.21 cannot do, with a part of the reason they give."""

TEXT = {"cell": "lstm", "bidirectional": True, "embedding": 16, "units": 16, "dropout": 0.0}
ARCHITECTURES = {
    "attention": Architecture(
        "attention", 8, {**TEXT, "attention": "luong", "optimizer": "adam", "learning_rate": 0.008}
    ),
    "autoencoder": Architecture("autoencoder", 40, {"variant": "convolutional"}),
    "cnn": Architecture("cnn_digits", 4, {"blocks": 2, "dense": True, "pool_dropout": 0.0}),
    "linear": Architecture("linear", 10, {"learning_rate": 0.05}),
    "lstm_sequence": Architecture("lstm_sine", 4, {"units_1": 32, "batch_size": 8, "learning_rate": 0.01}),
    "merge": Architecture("merge_digits", 4, {"merge": "concatenate", "dropout": 0.0}),
    "mlp": Architecture("digits_mlp", 8, {"layers": 2, "dropout": 0.0}),
    "multi_output": Architecture("multi_output_digits", 4, {"dropout": 0.0}),
    "residual_mlp": Architecture("residual_mlp", 4, {"dropout": 0.0}),
    "rnn": Architecture("rnn_digits", 4, {"cell": "lstm", "layers": 1, "units_1": 32, "dropout": 0.0}),
    "siamese": Architecture("siamese_digits", 6, {"units": 32, "hidden": 32, "dropout": 0.0}),
    "text_lstm": Architecture(
        "text_lstm", 8, {**TEXT, "dense": 0, "optimizer": "adam", "learning_rate": 0.008}
    ),
    "transfer": Architecture("transfer", 2, {"unfrozen": 5, "learning_rate": 0.001}),
}


def main():
    options = read_arguments()
    wrong, causes = [], []
    print(f"| architecture | {' | '.join(MODES)} |", "|" + " --- |" * (len(MODES) + 1), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names or ARCHITECTURES:
            print(f"{name} ...", file=sys.stderr)
            study = train(name, options.workdir or folder, options.set)
            outcomes = export_models(study, dict.fromkeys(MODES))
            cells = [cell(outcome) for outcome in outcomes.values()]
            print(f"| `{name}` | {' | '.join(cells)} |", flush=True)
            wrong += [f"{name} {mode}" for mode in MODES if not expected(name, mode, outcomes[mode])]
            causes += [
                f"- `{name}`, {mode}: {said(outcome)}" for mode, outcome in outcomes.items() if said(outcome)
            ]
    print("", *causes, sep="\n")
    if wrong:
        print(f"Not as expected: {', '.join(wrong)}.", file=sys.stderr)
    return 1 if wrong else 0


def read_arguments():
    parser = argparse.ArgumentParser(prog="scripts/export_table", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Default: {', '.join(ARCHITECTURES)}.")
    parser.add_argument("--workdir", metavar="DIR", help="Folder of the studies. Default: a temporary one.")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="As of hpsearch run.")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in ARCHITECTURES]:
        parser.error(f"no such architecture: {', '.join(unknown)}; choose from {', '.join(ARCHITECTURES)}")
    return options


def train(name, workdir, overrides=()):
    """Trains one model of an architecture; returns its study."""
    architecture = ARCHITECTURES[name]
    place = Path(workdir).absolute()
    experiment = hpsearch.Experiment.load(
        EXPERIMENTS / f"{architecture.experiment}.yaml",
        [
            f"name={name}",
            f"workdir={place}",
            f"tracking.uri=sqlite:///{place}/mlflow.db",
            "tracking.report=false",
            "search.strategy=random",
            "search.trials=1",
            "search.max_failures_in_a_row=1",
            f"training.epochs={architecture.epochs}",
            "export.formats=[]",
            *(f"search.space.{key}={value}" for key, value in architecture.space.items()),
            *overrides,
        ],
    )
    return hpsearch.search(experiment)


def expected(name, mode, outcome):
    """Whether a mode works, or fails for the known reason."""
    reason = IMPOSSIBLE.get((name, mode))
    if reason is None:
        return isinstance(outcome, ExportResult)
    return not isinstance(outcome, ExportResult) and re.search(reason, outcome.cause) is not None


def cell(outcome):
    """Writes a file's numbers: `76.2 KiB, 0.012 ms, 1e-07, -0.3`."""
    if not isinstance(outcome, ExportResult):
        return "not possible"
    parts = [f"{outcome.size_bytes / 1024:.1f} KiB"]
    if outcome.speed is not None:
        parts.append(f"{outcome.speed.default.median_ms:.2g} ms")
    parts.append(f"{outcome.largest_difference:.0e}")
    score = told_score(outcome.scores)
    if score is not None:
        parts.append(f"{100 * (outcome.scores[score] - outcome.keras_scores[score]):+.1f}")
    return ", ".join(parts)


def said(outcome):
    """Says what a user of a file must know, or why there is none; empty if there is nothing to say."""
    if isinstance(outcome, ExportResult):
        return ", ".join(outcome.notes)
    return outcome.cause.strip()


if __name__ == "__main__":
    sys.exit(main())
