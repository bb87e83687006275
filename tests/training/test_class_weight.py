"""`training.class_weight` does what Keras's `class_weight` does, and more where Keras refuses."""

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from hpsearch.datasets import load_data
from hpsearch.errors import ExperimentError, ModelError
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training.class_weight import weighted
from hpsearch.training.course import Course
from hpsearch.training.feed import Shuffled, Turn
from hpsearch.training.fit import fit, training_data
from hpsearch.training.hyperparameters import at_defaults
from hpsearch.training.prepare import prepare
from hpsearch.training.probe import probe
from hpsearch.training.run import run_trial
from hpsearch.training.validation import validation
from hpsearch.training.watch import Watch
from hpsearch.trial import Failure, Probe, Result, TrialSpec

X, Y = overlapping(150)
X, Y = X[(Y != 2) | (np.arange(150) < 60)], Y[(Y != 2) | (np.arange(150) < 60)]  # few of class 2
BINARY = (Y == 2).astype(int)
WEIGHTS = {"0": 0.5, "2": 3.0}


def one_hot(hp):
    model = small(hp)
    model.compile(model.optimizer, "categorical_crossentropy")
    return model


def sigmoid(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy", metrics=["accuracy"])
    return model


def section(*arrays, **options):
    x, y, *weight = arrays
    target = {"x": x, "y": y, **({"sample_weight": weight[0]} if weight else {})}
    return {"name": "mine", "target": target, "options": options}


KINDS = {
    "classes": (small, section(X, Y), WEIGHTS),
    "balanced": (small, section(X, Y), "balanced"),
    "one-hot": (one_hot, section(X, np.eye(3)[Y]), WEIGHTS),
    "binary": (sigmoid, section(X, BINARY), {"1": 2.5}),
}


def as_keras(class_weight, data):
    """What one would give `model.fit`."""
    if class_weight != "balanced":
        return {int(name): weight for name, weight in class_weight.items()}
    y = data.train.y
    return dict(enumerate(compute_class_weight("balanced", classes=np.unique(y), y=y)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_keras_own(kind, make_experiment):
    build, data, class_weight = KINDS[kind]
    experiment = make_experiment(build, data, "val_loss", epochs=2, class_weight=class_weight)
    data = load_data(experiment.data)
    ours = prepare(experiment, data, at_defaults, seed=3)
    driver = FakeDriver()
    watch = Watch(ours.model, Course(experiment), validation(data, 16), driver, prunable=False)
    fit(ours, training_data(experiment, ours, data, seed=3), watch)
    weights = ours.model.get_weights()

    theirs = prepare(experiment, data, at_defaults, seed=3).model
    source = Shuffled(data.train, 16, seed=3)
    history = theirs.fit(
        source,
        epochs=2,
        class_weight=as_keras(class_weight, data),
        shuffle=False,
        verbose=0,
        callbacks=[Turn(source)],
    ).history
    for left, right in zip(weights, theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert [epoch.metrics["loss"] for epoch in driver.epochs] == history["loss"]


def softmax(named):
    def build(hp):
        x = keras.Input((4,), name="x")
        y = keras.layers.Dense(3, activation="softmax", name="y")(x)
        model = keras.Model({"x": x}, {"y": y}) if named else keras.Model(x, y)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    return build


def test_a_named_output_which_keras_refuses(make_experiment, tmp_path):
    losses = []
    for name, data in (("named", section({"x": X}, {"y": Y})), ("bare", section(X, Y))):
        experiment = make_experiment(
            softmax(name == "named"), data, "val_loss", epochs=1, class_weight=WEIGHTS
        )
        result = run_trial(experiment, TrialSpec(0, {}, seed=3, folder=str(tmp_path / name)), FakeDriver())
        assert isinstance(result, Result), result
        losses.append(result.metrics["loss"])
    assert losses[0] == losses[1]


def test_weights_of_rows_are_multiplied_and_other_rows_left_alone(make_experiment):
    data = load_data(make_experiment(data=section(X, Y, np.arange(len(X)) + 1.0)).data)
    found = weighted(data, WEIGHTS)
    expected = data.train.sample_weight * np.array([0.5, 1, 3], "f4")[data.train.y]
    np.testing.assert_array_equal(found.train.sample_weight, expected)
    assert found.validation is data.validation
    assert found.test is data.test


def test_it_changes_training_and_not_how_validation_is_measured(make_experiment, spec, driver):
    result = run_trial(make_experiment(data=(X, Y), epochs=2, class_weight={"2": 50.0}), spec, driver)
    assert isinstance(result, Result), result
    data = load_data(make_experiment(data=(X, Y)).data)
    model = keras.saving.load_model(f"{spec.folder}/model.keras")
    loss = model.evaluate(data.validation.x, data.validation.y, batch_size=16, verbose=0)[0]
    assert result.metrics["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert result.metrics["loss"] > 2 * loss  # that of the training rows is weighted


def test_classes_by_name_and_by_number(make_experiment):
    names = np.array(["ham", "spam", "2"])[Y]
    data = load_data(make_experiment(data=(X, names)).data)
    assert data.class_names == ("2", "ham", "spam")
    found = weighted(data, {"ham": 5.0, "2": 7.0})  # the name `2`, not the number
    table = np.array([7.0, 5.0, 1.0], "f4")
    np.testing.assert_array_equal(found.train.sample_weight, table[data.train.y])
    np.testing.assert_array_equal(
        weighted(data, {"1": 5.0, "0": 7.0}).train.sample_weight, table[data.train.y]
    )


class Own(keras_tuner.HyperModel):
    def build(self, hp):
        return small(hp)

    def fit(self, hp, model, x, y, validation_data, callbacks, sample_weight=None):
        self.seen = sample_weight
        return model.fit(
            x, y, validation_data=validation_data, callbacks=callbacks, sample_weight=sample_weight
        )


class Deaf(Own):
    def fit(self, hp, model, x, y, validation_data, callbacks):
        raise AssertionError("nothing is to be trained")


def test_a_users_fit_is_given_weights(make_experiment, spec, driver):
    hypermodel = Own()
    result = run_trial(make_experiment(hypermodel, (X, Y), class_weight=WEIGHTS), spec, driver)
    assert isinstance(result, Result), result
    data = load_data(make_experiment(data=(X, Y)).data)
    np.testing.assert_array_equal(hypermodel.seen, np.array([0.5, 1, 3], "f4")[data.train.y])


def test_a_users_fit_that_takes_none_is_refused_before_training(make_experiment, spec, driver, tmp_path):
    experiment = make_experiment(Deaf(), (X, Y), class_weight="balanced")
    with pytest.raises(ModelError, match=r"its `fit` takes no `sample_weight`.*`training.class_weight`"):
        probe(experiment, Probe(str(tmp_path)))
    failure = run_trial(experiment, spec, driver)
    assert isinstance(failure, Failure)
    assert not driver.epochs
    with pytest.raises(ModelError, match=r"received weights of the data"):
        probe(make_experiment(Deaf(), (X, Y, np.ones(len(X)))), Probe(str(tmp_path)))


def amounts(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def two(hp):
    x = keras.Input((4,))
    outputs = {name: keras.layers.Dense(3, activation="softmax", name=name)(x) for name in "ab"}
    model = keras.Model(x, outputs)
    model.compile("adam", dict.fromkeys("ab", "sparse_categorical_crossentropy"))
    return model


WRONG = {
    "an unknown class": (
        small,
        section(X, np.array(["ham", "spam", "eggs"])[Y]),
        {"span": 2.0},
        "training.class_weight: there is no such class; expected eggs, ham, spam; received span. "
        "Did you mean `spam`?",
    ),
    "a number too many": (small, section(X, Y), {"3": 2.0}, "no such class; expected 0, 1, 2; received 3"),
    "a class twice": (
        small,
        section(X, np.array(["ham", "spam", "eggs"])[Y]),
        {"eggs": 2.0, "0": 3.0},
        "class `eggs` occurs twice; received eggs, 0",
    ),
    "a regression": (
        amounts,
        section(X, X[:, 0]),
        "balanced",
        "is for one target of classes; received a regression",
    ),
    "several targets": (
        two,
        section(X, {"a": Y, "b": Y}, task="classification"),
        "balanced",
        "is for one target of classes; received several targets",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_probe_says_what_is_wrong(case, make_experiment, tmp_path):
    build, data, class_weight, message = WRONG[case]
    with pytest.raises(ExperimentError) as caught:
        probe(make_experiment(build, data, "val_loss", class_weight=class_weight), Probe(str(tmp_path)))
    assert message in str(caught.value)
