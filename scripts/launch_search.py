"""A search from Python, with a model and arrays of your own.

    .venv/bin/python scripts/launch_search.py

The model is a plain Keras Tuner build function defined in this very file; it and the arrays are sent to the
worker processes. Run it again and it continues; change `trials` and it goes on from there.
"""

import keras
import sklearn.datasets

import hpsearch


def build(hp):
    """Builds a small residual network; the dropout rate exists only where there is dropout."""
    inputs = keras.Input((64,))
    x = keras.layers.Dense(hp.Choice("units", [32, 64, 128]), activation="relu")(inputs)
    for _ in range(hp.Int("blocks", 0, 3)):
        y = keras.layers.Dense(x.shape[-1], activation="relu")(x)
        x = keras.layers.Add()([x, y])
    if hp.Boolean("dropout"):
        x = keras.layers.Dropout(hp.Float("rate", 0.1, 0.5, step=0.1))(x)
    outputs = keras.layers.Dense(10, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    learning_rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    model.compile(
        keras.optimizers.Adam(learning_rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


class PrintTrials(hpsearch.Listener):
    """Prints a line a trial."""

    def on_trial_finished(self, trial, best):  # noqa: ARG002
        value = f"{trial.values[0]:.4f}" if trial.values else trial.state
        print(f"trial {trial.number:3d}: {value}  {dict(trial.params)}")


if __name__ == "__main__":
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    experiment = hpsearch.Experiment(
        name="launch_search",
        model=build,
        data=((x / 16).astype("float32"), y),
        objective="val_f1_macro",
        search={"strategy": "bayesian", "trials": 8},
        training={"epochs": 15, "early_stopping": {"patience": 4}},
    )
    study = hpsearch.search(experiment, listener=PrintTrials())
    best, champion = study.best[0], study.champion
    print(f"best: trial {best.number}, validation F1 {best.values[0]:.4f}, {dict(best.params)}")
    print(f"test F1 {champion['test']['test_f1_macro']:.4f}, exported to {champion['exports'][0]['path']}")
