"""A trial whose process dies goes on from its last epoch and ends with the bits of one left in peace."""

import keras
import numpy as np
import pytest
from keras import layers

from hpsearch.experiment import Experiment
from hpsearch.testing.trials import FakeDriver
from hpsearch.training.run import run_trial
from hpsearch.training.state import FILE
from hpsearch.trial import Result, TrialSpec

ROWS, CLASSES = 60, 3
Y = np.arange(ROWS) % CLASSES


def rows(*shape):
    generator = np.random.default_rng(0)
    return generator.normal(size=(ROWS, *shape)).astype("float32") + Y.reshape(-1, *([1] * len(shape)))


def compiled(*parts):
    model = keras.Sequential([*parts, layers.Dense(CLASSES, "softmax")])
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def mlp(hp):
    units = hp.Int("units", 4, 8, default=6)
    return compiled(keras.Input((6,)), layers.Dense(units), layers.BatchNormalization(), layers.Dropout(0.3))


def cnn(hp):
    return compiled(keras.Input((6, 6, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dropout(0.3))


def lstm(hp):
    return compiled(keras.Input((5, 4)), layers.LSTM(6, dropout=0.2))


def own_layer(hp):
    class Scale(layers.Layer):  # no graph of an earlier trial serves it
        def call(self, x):
            return 2 * x

    return compiled(keras.Input((6,)), Scale(), layers.GaussianNoise(0.2), layers.Dense(4))


PLATEAU = {"name": "plateau", "patience": 1, "factor": 0.5}
CASES = {
    "mlp": (mlp, (6,), {}),
    "cnn": (cnn, (6, 6, 1), {}),
    "lstm": (lstm, (5, 4), {}),
    "own layer": (own_layer, (6,), {}),
    "early stopping": (mlp, (6,), {"early_stopping": {"patience": 3}, "epochs": 12}),
    "plateau": (mlp, (6,), {"schedule": PLATEAU, "early_stopping": {"patience": 4}}),
    "augmentation": (cnn, (6, 6, 1), {"augmentation": {"random_flip": "horizontal", "random_rotation": 0.1}}),
    "sixteen bits": (mlp, (6,), {"dtype_policy": "mixed_bfloat16"}),
}


class KilledError(BaseException):
    """Stands for the death of the process."""


class Mortal(FakeDriver):
    """A driver whose worker dies after so many epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def report(self, epoch, *, await_answer):
        answer = super().report(epoch, await_answer=await_answer)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KilledError
        return answer


def experiment(case, state_every_s=0.0, **changes):
    model, shape, training = CASES[case]
    return Experiment(
        name="state",
        model=model,
        data=(rows(*shape), Y),
        objective="val_loss",
        checkpoints={"state_every_s": state_every_s},
        training={"epochs": 6, "batch_size": 16, "deterministic": True, **training, **changes},
    )


def trial(folder, case, dies_after=None, **changes):
    driver = Mortal(dies_after)
    spec = TrialSpec(0, {"units": 6} if case != "cnn" else {}, seed=5, folder=str(folder))
    outcome = run_trial(experiment(case, **changes), spec, driver)
    return outcome, driver


def weights(folder):
    model = keras.models.load_model(folder / "model.keras", compile=False, safe_mode=False)
    return model.get_weights()


def same(one, other):
    return one.metrics == other.metrics and (one.epochs, one.best_epoch) == (other.epochs, other.best_epoch)


@pytest.mark.parametrize("dies_after", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_it_ends_with_the_same_bits(case, dies_after, tmp_path):
    expected, whole = trial(tmp_path / "whole", case)
    assert isinstance(expected, Result), expected
    with pytest.raises(KilledError):
        trial(tmp_path / "killed", case, dies_after)
    assert (tmp_path / "killed" / FILE).exists()
    result, again = trial(tmp_path / "killed", case)

    assert isinstance(result, Result), result
    assert same(result, expected)
    assert [each.metrics for each in again.epochs] == [each.metrics for each in whole.epochs]
    if case != "own layer":
        pairs = zip(weights(tmp_path / "killed"), weights(tmp_path / "whole"), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)
    files = ("history.csv", "params.json")
    for name in files:
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert set(result.files) == set(expected.files)
    assert not list((tmp_path / "killed").glob("state*"))


def test_it_trains_only_what_was_left(tmp_path, monkeypatch):
    with pytest.raises(KilledError):
        trial(tmp_path, "mlp", 4)
    trained = []
    monkeypatch.setattr(
        "hpsearch.training.feed.Turn.on_epoch_begin", lambda _, epoch, logs=None: trained.append(epoch)
    )
    trial(tmp_path, "mlp")
    assert trained in ([3, 4, 5], [4, 5])  # the last state may not have been on the disk yet


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"epochs": 7}])
def test_another_trials_state_is_not_taken(change, tmp_path):
    with pytest.raises(KilledError):
        trial(tmp_path / "killed", "mlp", 3)
    result, _ = trial(tmp_path / "killed", "mlp", **change)
    expected, _ = trial(tmp_path / "fresh", "mlp", **change)
    assert same(result, expected)


def test_half_a_file_is_no_state(tmp_path):
    expected, _ = trial(tmp_path / "whole", "mlp")
    with pytest.raises(KilledError):
        trial(tmp_path / "killed", "mlp", 3)
    state = tmp_path / "killed" / FILE
    state.write_bytes(state.read_bytes()[:200])
    result, _ = trial(tmp_path / "killed", "mlp")
    assert same(result, expected)


def test_a_state_is_written_seldom_unless_asked(tmp_path):
    with pytest.raises(KilledError):
        trial(tmp_path, "mlp", 3, state_every_s=10.0)
    assert not (tmp_path / FILE).exists()
