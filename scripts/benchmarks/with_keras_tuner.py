"""Keras Tuner's grid search, each trial a run in MLflow: a HyperModel with `fit`, as its guide shows."""

import keras_tuner
import mlflow
from work import SCORE, contend, tracked


class Model(keras_tuner.HyperModel):
    def __init__(self, work):
        super().__init__()
        self.work = work

    def build(self, hp):
        return self.work.build({name: hp.Choice(name, values) for name, values in self.work.space.items()})

    def fit(self, hp, model, *args, callbacks, **kwargs):
        with tracked(dict(hp.values), self.work.folder) as ours:
            return model.fit(*args, callbacks=[*callbacks, *ours], **kwargs)


def search(work):
    mlflow.set_tracking_uri(work.mlflow_uri)
    mlflow.create_experiment("bench", artifact_location=f"file://{work.folder}/artifacts")
    mlflow.set_experiment("bench")
    train, validation = work.data()
    tuner = keras_tuner.GridSearch(
        Model(work), objective=SCORE, max_trials=None, directory=work.folder, project_name="tuner"
    )
    tuner.search(
        *train, epochs=work.epochs, batch_size=work.batch_size, validation_data=validation, verbose=0
    )
    for trial in tuner.oracle.trials.values():
        yield dict(trial.hyperparameters.values), trial.score


if __name__ == "__main__":
    contend(search)
