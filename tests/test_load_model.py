"""A trial's model comes back from a study, with the classes that its code refers to."""

import keras
import numpy as np
import pytest

import hpsearch
from hpsearch.errors import ModelError, StudyError
from hpsearch.study import Study
from hpsearch.study_folder import StudyFolder

MODEL = """
import keras


class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def build(hp):
    units = hp.Choice("units", [2, 3])
    layers = [keras.layers.Dense(units), Doubled(), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""

EXPERIMENT = """
model: net.py:build
data: {name: blobs, options: {rows: 60}}
objective: val_accuracy
search: {strategy: grid}
training: {epochs: 1}
resources: {executor: inline}
export: {formats: [keras, weights]}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loaded")
    (folder / "net.py").write_text(MODEL)
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    uri = f"sqlite:///{folder}/mlflow.db"
    overrides = [f"workdir={folder}/runs", f"tracking.uri={uri}"]
    return hpsearch.search(hpsearch.Experiment.load(folder / "tiny.yaml", overrides))


@pytest.fixture(autouse=True)
def nothing_registered():
    keras.saving.get_custom_objects().pop("Doubled", None)


def test_the_champions_model_is_loaded_compiled(study):
    model = study.load_model()
    assert model.compiled
    samples = np.load(study.champion["samples"])
    assert model.predict(samples[samples.files[0]], verbose=0).shape[1] == 3
    assert study.load_model(study.champion["trial"]).get_weights()[0].shape == model.get_weights()[0].shape


def test_any_trials_model_is_loaded(study):
    for trial in study.trials:
        model = study.load_model(trial.number, compile=False)
        assert model.layers[0].units == trial.params["units"]
        assert not model.compiled


def test_the_champion_is_exported_as_asked(study):
    exports = {each["format"]: each for each in study.champion["exports"]}
    assert exports["keras"]["path"].endswith("champion/tiny-keras.keras")
    assert exports["weights"]["path"].endswith("champion/tiny-weights.weights.h5")
    model = study.load_model()
    weights = model.get_weights()
    model.set_weights([array + 1 for array in weights])
    model.load_weights(exports["weights"]["path"])
    for loaded, array in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(loaded, array)


def test_what_is_not_there_is_said(study, tmp_path):
    with pytest.raises(StudyError, match="trial 99 left no model"):
        study.load_model(99)
    with pytest.raises(StudyError, match="has no champion yet: its search has not ended"):
        Study(StudyFolder(tmp_path)).load_model()


def test_a_class_that_is_gone_can_be_given(study, monkeypatch):
    monkeypatch.setattr("hpsearch.models.register_custom_objects", lambda *_: None)
    with pytest.raises(ModelError, match="the model needs `Doubled`, which is not registered"):
        study.load_model()

    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    assert type(study.load_model(custom_objects={"Doubled": Doubled}).layers[1]) is Doubled
