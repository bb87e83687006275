"""The user's own `HyperModel.fit`, as Keras Tuner's guides write it, runs unmodified."""

from __future__ import annotations

from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from hpsearch.datasets import load_data
from hpsearch.datasets.data import Split
from hpsearch.experiment import Experiment
from hpsearch.testing.trials import overlapping, small
from hpsearch.training.feed import Shuffled, Turn
from hpsearch.training.run import run_trial
from hpsearch.trial import Failure, FailureKind, Result


class Model(keras_tuner.HyperModel):
    def build(self, hp):
        return small(hp)


class GuideTuneTraining(Model):
    """https://keras.io/keras_tuner/getting_started: "Tune model training"."""

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(
            *args,
            # Tune whether to shuffle the data in each epoch.
            shuffle=hp.Boolean("shuffle"),
            **kwargs,
        )


class GuideTuneBatchSize(Model):
    """https://keras.io/api/keras_tuner/hypermodels: batch size and epochs chosen in `fit`."""

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(
            *args,
            batch_size=hp.Choice("batch_size", [24, 48]),
            epochs=hp.Int("epochs", 2, 20),
            **kwargs,
        )


class GuidePreprocessing(Model):
    """https://keras.io/keras_tuner/getting_started: "Tune data preprocessing"."""

    def fit(self, hp, model, x, y, validation_data=None, **kwargs):
        if hp.Boolean("normalize", default=True):
            x = layers.Normalization()(x)
        return model.fit(x, y, validation_data=validation_data, **kwargs)


class GuideFloat(Model):
    """https://keras.io/keras_tuner/getting_started: "Return a single float as the evaluation result"."""

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        model.fit(x, y, **kwargs)
        x_val, y_val = validation_data
        y_pred = model.predict(x_val, verbose=0)
        # Return a single float to minimize.
        return np.mean(np.abs(y_pred.argmax(axis=1) - y_val))


class GuideDictionary(Model):
    """https://keras.io/keras_tuner/getting_started: several metrics; the callbacks are not passed on."""

    def fit(self, hp, model, x, y, validation_data, callbacks, **kwargs):
        model.fit(x, y, epochs=2, verbose=0)
        x_val, y_val = validation_data
        y_pred = model.predict(x_val, verbose=0).argmax(axis=1)
        # Return a dictionary of metrics for KerasTuner to track.
        return {"metric_a": -np.mean(np.abs(y_pred - y_val)), "metric_b": np.mean(np.square(y_pred - y_val))}


class GuideLoop(keras_tuner.HyperModel):
    """https://keras.io/guides/keras_tuner/custom_tuner: a training loop of one's own."""

    def build(self, hp):
        inputs = keras.Input(shape=(4,))
        x = keras.layers.Flatten()(inputs)
        x = keras.layers.Dense(units=hp.Choice("units", [8, 16]), activation="relu")(x)
        outputs = keras.layers.Dense(3)(x)
        return keras.Model(inputs=inputs, outputs=outputs)

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        # Convert the datasets to tf.data.Dataset.
        batch_size = hp.Int("batch_size", 32, 128, step=32, default=64)
        train_ds = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)
        validation_data = tf.data.Dataset.from_tensor_slices(validation_data).batch(batch_size)

        # Define the optimizer.
        optimizer = keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3))
        loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        # The metric to track validation loss.
        epoch_loss_metric = keras.metrics.Mean()

        # Function to run the train step.
        @tf.function
        def run_train_step(images, labels):
            with tf.GradientTape() as tape:
                logits = model(images)
                loss = loss_fn(labels, logits)
                # Add any regularization losses.
                if model.losses:
                    loss += tf.math.add_n(model.losses)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables))  # noqa: B905

        # Function to run the validation step.
        @tf.function
        def run_val_step(images, labels):
            logits = model(images)
            loss = loss_fn(labels, logits)
            # Update the metric.
            epoch_loss_metric.update_state(loss)

        # Assign the model to the callbacks.
        for callback in callbacks:
            callback.set_model(model)

        # Record the best validation loss value
        best_epoch_loss = float("inf")

        # The custom training loop.
        for epoch in range(2):
            for images, labels in train_ds:
                run_train_step(images, labels)
            for images, labels in validation_data:
                run_val_step(images, labels)

            # Calling the callbacks after epoch.
            epoch_loss = float(epoch_loss_metric.result().numpy())
            for callback in callbacks:
                # The "my_metric" is the objective passed to the tuner.
                callback.on_epoch_end(epoch, logs={"my_metric": epoch_loss})
            epoch_loss_metric.reset_state()
            best_epoch_loss = min(best_epoch_loss, epoch_loss)

        # Return the evaluation metric value.
        return best_epoch_loss


def train(make_experiment, model, spec, driver, objective, **training):
    result = run_trial(make_experiment(model, objective=objective, **training), spec, driver)
    assert isinstance(result, Result), (result.cause, result.detail)
    return result


def minimized(metric: str) -> dict[str, str]:
    return {"metric": metric, "direction": "minimize"}


def test_tuned_training(make_experiment, spec, driver):
    result = train(make_experiment, GuideTuneTraining(), spec, driver, "val_f1_macro", epochs=2)
    assert result.params["shuffle"] is False
    assert result.epochs == 2
    assert {"loss", "val_loss", "val_accuracy", "val_f1_macro"} <= result.metrics.keys()


def test_tuned_batch_size_and_epochs(make_experiment, spec, driver):
    result = train(make_experiment, GuideTuneBatchSize(), spec, driver, "val_accuracy", epochs=7)
    assert (result.params["batch_size"], result.epochs) == (16, 7)  # `training` fixes them


def test_tuned_preprocessing(make_experiment, spec, driver):
    result = train(make_experiment, GuidePreprocessing(), spec, driver, "val_accuracy", epochs=2)
    assert result.params["normalize"] is True
    assert "val_f1_macro" in result.metrics


def test_a_float_is_the_objective(make_experiment, spec, driver):
    result = train(make_experiment, GuideFloat(), spec, driver, minimized("mean_distance"), epochs=2)
    assert 0 <= result.metrics["mean_distance"] < 2
    assert "mean_distance" not in driver.epochs[0].metrics
    assert "val_f1_macro" in driver.epochs[0].metrics  # though Keras was given no validation data


def test_a_dictionary_without_our_callback(make_experiment, spec, driver):
    result = train(make_experiment, GuideDictionary(), spec, driver, minimized("metric_b"))
    assert result.epochs == len(driver.epochs) == 1
    assert {"metric_a", "metric_b", "val_f1_macro"} <= result.metrics.keys()
    assert "confusion_matrix.png" in result.files


def test_a_loop_of_ones_own(make_experiment, spec, driver):
    result = train(make_experiment, GuideLoop(), spec, driver, minimized("my_metric"))
    values = [epoch.metrics["my_metric"] for epoch in driver.epochs]
    assert len(values) == 2
    assert result.metrics["my_metric"] == min(values)
    assert "val_f1_macro" in result.metrics  # of a model that was never compiled
    assert {"units", "batch_size", "learning_rate"} <= result.params.keys()


def test_our_keywords_give_way_to_the_users(make_experiment, spec, driver):
    class Loud(Model):
        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, verbose=2, **kwargs)

    assert train(make_experiment, Loud(), spec, driver, "val_loss", epochs=1).epochs == 1


def test_epochs_count_on_over_two_fits(make_experiment, spec, driver):
    class TwoStages(Model):
        def fit(self, hp, model, x, y, validation_data, callbacks):
            model.fit(x, y, epochs=2, validation_data=validation_data, callbacks=callbacks, verbose=0)
            return model.fit(x, y, epochs=1, validation_data=validation_data, callbacks=callbacks, verbose=0)

    result = train(make_experiment, TwoStages(), spec, driver, "val_loss")
    assert [epoch.number for epoch in driver.epochs] == [1, 2, 3]
    assert result.epochs == 3


def test_later_callbacks_see_our_metrics_and_the_users_names_win(make_experiment, spec, driver):
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(dict(logs))

    class Mine(keras_tuner.HyperModel):
        def build(self, hp):
            model = small(hp)
            always = keras.metrics.MeanMetricWrapper(lambda y, p: 7.0 + 0 * keras.ops.sum(p), name="f1_macro")
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy", always])
            return model

        def fit(self, hp, model, *args, callbacks, **kwargs):
            return model.fit(*args, callbacks=[*callbacks, Spy()], **kwargs)

    result = train(make_experiment, Mine(), spec, driver, "val_f1_micro", epochs=1)
    assert seen[0]["val_f1_micro"] == result.metrics["val_f1_micro"]
    assert result.metrics["val_f1_macro"] == pytest.approx(7.0)


def test_rows_that_fit_changed_give_no_wrong_metrics_of_ours(make_experiment, spec, driver, capfd):
    class Scaled(Model):
        def fit(self, hp, model, x, y, validation_data, **kwargs):
            x_val, y_val = validation_data
            return model.fit(-100 * x, y, validation_data=(-100 * x_val, y_val), **kwargs)

    result = train(make_experiment, Scaled(), spec, driver, "val_accuracy", epochs=2)
    assert "val_f1_macro" not in result.metrics
    assert "validates on other rows than the data set's" in capfd.readouterr().err


def test_a_fit_that_returns_nothing(make_experiment, spec, driver):
    class Forgetful(Model):
        def fit(self, hp, model, *args, **kwargs):
            return None

    failure = run_trial(make_experiment(Forgetful(), objective="val_loss"), spec, driver)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.BUILD
    assert failure.cause.startswith("HyperModel.fit: returned nothing to compare trials by")


class TestLoop:
    """A loop of `train_on_batch`, which neither validates nor has Keras call the callbacks."""

    class Loop(Model):
        calls = staticmethod(lambda callbacks, epoch, logs: callbacks[0].on_epoch_end(epoch, logs))
        returns = None

        def fit(self, hp, model, x, y, epochs, callbacks):
            for epoch in range(epochs):
                for start in range(0, len(x), 32):
                    rows = slice(start, start + 32)
                    logs = model.train_on_batch(x[rows], y[rows], return_dict=True)
                self.calls(callbacks, epoch, logs)
                if model.stop_training:
                    break
            return self.returns

    def test_what_it_does_not_measure_is_added(self, make_experiment, spec, driver):
        result = train(make_experiment, self.Loop(), spec, driver, "val_loss", epochs=3)
        assert [epoch.number for epoch in driver.epochs] == [1, 2, 3]
        assert "val_f1_macro" in result.metrics
        data = load_data(make_experiment().data)
        model = keras.saving.load_model(f"{spec.folder}/model.keras")
        found = model.evaluate(data.validation.x, data.validation.y, verbose=0, return_dict=True)
        assert {name: result.metrics[f"val_{name}"] for name in found} == pytest.approx(found, rel=1e-5)

    def test_early_stopping_is_a_flag_of_the_model(self, make_experiment, spec, driver):
        rule = {"patience": 2, "min_delta": 10.0}
        result = train(make_experiment, self.Loop(), spec, driver, "val_loss", epochs=9, early_stopping=rule)
        assert result.epochs == 3

    @pytest.mark.parametrize(
        "schedule", ["exponential", {"name": "plateau", "patience": 1, "min_delta": 9.0}]
    )
    def test_a_schedule(self, make_experiment, spec, driver, schedule):
        class All(self.Loop):
            def calls(self, callbacks, epoch, logs):
                for callback in callbacks:
                    callback.on_epoch_end(epoch, logs)

        loop = self.Loop() if schedule == "exponential" else All()
        train(make_experiment, loop, spec, driver, "val_loss", epochs=3, schedule=schedule)
        rates = [epoch.metrics["learning_rate"] for epoch in driver.epochs]
        assert len(rates) == 3
        assert rates[0] > rates[2] > 0

    def test_without_callbacks(self, make_experiment, spec, driver):
        class Silent(self.Loop):
            returns = {"mine": 0.25}

            def calls(self, callbacks, epoch, logs):
                pass

        result = train(make_experiment, Silent(), spec, driver, minimized("mine"), epochs=2)
        assert result.epochs == 1
        assert result.metrics["mine"] == 0.25
        assert {"val_loss", "val_f1_macro"} <= result.metrics.keys()

    def test_the_example(self, spec, driver):
        file = Path(__file__).parents[2] / "experiments" / "custom_loop.yaml"
        experiment = Experiment.load(file, ["training.epochs=2"])
        result = run_trial(experiment, spec, driver)
        assert isinstance(result, Result), result
        assert result.epochs == 2
        assert result.params.keys() == {"units", "learning_rate", "batch_size", "halve_after"}
        first, second = (epoch.metrics for epoch in driver.epochs)
        assert second["loss"] < first["loss"]
        assert second["val_loss"] < first["val_loss"]


class TestOrder:
    def batches(self, seed: int, epoch: int) -> list[int]:
        x = np.arange(10, dtype=np.float32)
        source = Shuffled(Split(x, x * 2, x * 3), 4, seed)
        source.turn(epoch)
        batches = [source[number] for number in range(len(source))]
        assert [len(x) for x, _, _ in batches] == [4, 4, 2]
        for one, two, three in batches:
            np.testing.assert_array_equal(two, one * 2)
            np.testing.assert_array_equal(three, one * 3)
        return [int(value) for x, _, _ in batches for value in x]

    def test_it_depends_on_seed_and_epoch_only(self):
        orders = [self.batches(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
        assert all(sorted(order) == list(range(10)) for order in orders)
        assert len({tuple(order) for order in orders}) == 6
        assert orders[1] == self.batches(0, 1)

    def test_keras_trains_in_it(self, make_experiment, spec, driver):
        """Each epoch has its own order, the first is epoch 0's: as rows one by one would be."""
        x, y = overlapping(30)
        seen: list[float] = []

        class Note(keras.Model):
            def __init__(self):
                super().__init__()
                self.dense = keras.layers.Dense(3)

            def call(self, x):
                return self.dense(x)

            def train_step(self, data):
                seen.extend(np.asarray(data[0])[:, 0].tolist())
                return super().train_step(data)

        model = Note()
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        source = Shuffled(Split(x, y), 8, seed=5)
        model.fit(source, epochs=3, shuffle=False, verbose=0, callbacks=[Turn(source)])
        expected = [x[np.random.default_rng([5, epoch]).permutation(30), 0] for epoch in range(3)]
        assert seen == np.concatenate(expected).tolist()
