"""A training loop of one's own, batch by batch: the learning rate is halved on the way."""

import keras
import keras_tuner
import numpy as np


class CustomLoop(keras_tuner.HyperModel):
    """A small network, and how it is trained."""

    def build(self, hp):
        """Builds and compiles the network."""
        model = keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(hp.Choice("units", [32, 64, 128]), activation="relu"),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        rate = hp.Float("learning_rate", 1e-3, 1e-2, sampling="log", default=3e-3)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, x, y, epochs, callbacks, sample_weight=None):
        """Trains it; hpsearch gives what the arguments ask for, here weights that balance the classes."""
        size = hp.Choice("batch_size", [32, 64])
        halve_after = hp.Int("halve_after", 2, 6)
        for epoch in range(epochs):
            order = np.random.permutation(len(x))  # the trial's seed is set
            batches = []
            for start in range(0, len(x), size):
                rows = order[start : start + size]
                weights = None if sample_weight is None else sample_weight[rows]
                batches.append(model.train_on_batch(x[rows], y[rows], weights, return_dict=True))
            logs = {name: float(np.mean([batch[name] for batch in batches])) for name in batches[0]}
            # Here hpsearch measures the validation rows, and says whether to stop: early stopping, pruning.
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
            if epoch + 1 == halve_after:
                model.optimizer.learning_rate = model.optimizer.learning_rate / 2
