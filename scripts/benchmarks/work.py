"""The work that every contender does: the same data, models, configurations, epochs and batches.

A contender is a program of its own, `python with_<peer>.py WORK OUT`: it reads the work from a JSON file,
searches, and writes each configuration's best validation accuracy to another.
"""

import gzip
import itertools
import json
import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

SCORE = "val_accuracy"
SPACES = {
    "mlp": {"units": [64, 128, 256], "dropout": [0.0, 0.2], "learning_rate": [3e-4, 1e-3, 3e-3, 1e-2]},
    "cnn": {"filters": [8, 16], "learning_rate": [5e-4, 1e-3, 3e-3]},
    "rnn": {"units": [32, 64], "learning_rate": [5e-4, 1e-3, 3e-3]},
}
"""Grids, so that every contender tries the same configurations with its own grid search."""


@dataclass(frozen=True)
class Work:
    """What is searched.

    Attributes:
        model: `mlp`, `cnn` or `rnn`.
        folder: Where the contender keeps its files.
        epochs: Of each trial.
        rows: Images to train on.
        validation_rows: Images that give the score.
        batch_size: Of each step.
        cores: Of the machine.
        trials_per_gpu: Where there is a GPU.
    """

    model: str
    folder: str
    epochs: int
    rows: int = 10_000
    validation_rows: int = 2_000
    batch_size: int = 64
    cores: int = 2
    trials_per_gpu: int = 1

    @property
    def space(self):
        """The values of each hyperparameter."""
        return SPACES[self.model]

    def configurations(self):
        """All combinations, in order."""
        return [
            dict(zip(self.space, values, strict=True)) for values in itertools.product(*self.space.values())
        ]

    @property
    def mlflow_uri(self):
        return f"sqlite:///{self.folder}/mlflow.db"

    def data(self):
        """Returns `(x, y), (x_validation, y_validation)`."""
        x, y = load_mnist(self.rows + self.validation_rows)
        return (x[: self.rows], y[: self.rows]), (x[self.rows :], y[self.rows :])

    def build(self, params):
        """Returns the compiled model of a configuration."""
        import keras

        inputs = keras.Input((28, 28))
        outputs = keras.layers.Dense(10, activation="softmax")(BODIES[self.model](inputs, params))
        model = keras.Model(inputs, outputs)
        model.compile(
            keras.optimizers.Adam(params["learning_rate"]),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model


def _mlp(x, params):
    import keras

    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(params["units"], activation="relu")(x)
    return keras.layers.Dropout(params["dropout"])(x) if params["dropout"] else x


def _cnn(x, params):
    import keras

    x = keras.layers.Reshape((28, 28, 1))(x)
    for filters in (params["filters"], 2 * params["filters"]):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
    return keras.layers.Flatten()(x)


def _rnn(x, params):
    import keras

    return keras.layers.LSTM(params["units"])(x)


BODIES = {"mlp": _mlp, "cnn": _cnn, "rnn": _rnn}


def load_mnist(rows):
    """Returns images in 0..1, `(rows, 28, 28)`, and their digits; generated ones where MNIST is missing."""
    folder = Path(os.environ.get("HPSEARCH_DATA_DIR", "")) / "mnist"
    images = folder / "train-images-idx3-ubyte.gz"
    if not images.exists():
        return generate(rows)
    with gzip.open(images) as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        digits = np.frombuffer(file.read(), np.uint8, offset=8)
    x = pixels.reshape(-1, 28, 28)[:rows].astype("float32") / 255
    return x, digits[:rows].astype("int64")


def generate(rows):
    """Returns noisy copies of ten random pictures, of MNIST's shape."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 10, rows)
    pictures = generator.random((10, 28, 28), dtype="float32")
    noise = generator.normal(0, 1, (rows, 28, 28)).astype("float32")
    return np.clip(pictures[y] + noise, 0, 1), y


def key(params):
    """Names a configuration."""
    return json.dumps(params, sort_keys=True)


@contextmanager
def tracked(params, folder):
    """A run in MLflow as its guide shows it; gives the callbacks that log it and keep its best model."""
    import keras
    import mlflow

    class LogEpochs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            mlflow.log_metrics(logs, step=epoch)

    best = Path(folder) / "models" / f"{abs(hash(key(params)))}.keras"
    best.parent.mkdir(exist_ok=True)
    keep = keras.callbacks.ModelCheckpoint(best, monitor=SCORE, mode="max", save_best_only=True)
    with mlflow.start_run():
        mlflow.log_params(params)
        yield [LogEpochs(), keep]
        mlflow.log_artifact(str(best))


def contend(search):
    """Runs a contender from the command line: `search(work)` returns the scores by configuration.

    A contender's configurations must be those of the work.
    """
    work_file, out_file = sys.argv[1:]
    work = Work(**json.loads(Path(work_file).read_text()))
    scores = {key(params): float(score) for params, score in search(work)}
    if missing := {key(params) for params in work.configurations()} ^ scores.keys():
        sys.exit(f"other configurations than asked for: {sorted(missing)}")
    Path(out_file).write_text(json.dumps({"scores": scores, "best": max(scores.values())}))


def write(work, target):
    """Writes what `contend` reads."""
    Path(target).write_text(json.dumps(asdict(work)))
