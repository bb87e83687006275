"""Optuna's grid search with one job, each trial a run in MLflow."""

import keras
import mlflow
import optuna
from work import SCORE, contend, tracked


def search(work):
    mlflow.set_tracking_uri(work.mlflow_uri)
    mlflow.create_experiment("bench", artifact_location=f"file://{work.folder}/artifacts")
    mlflow.set_experiment("bench")
    train, validation = work.data()

    def objective(trial):
        keras.utils.clear_session()
        params = {name: trial.suggest_categorical(name, values) for name, values in work.space.items()}
        model = work.build(params)
        with tracked(params, work.folder) as callbacks:
            history = model.fit(
                *train,
                epochs=work.epochs,
                batch_size=work.batch_size,
                validation_data=validation,
                verbose=0,
                callbacks=callbacks,
            )
        return max(history.history[SCORE])

    study = optuna.create_study(sampler=optuna.samplers.GridSampler(work.space), direction="maximize")
    study.optimize(objective, n_jobs=1)
    for trial in study.trials:
        yield trial.params, trial.value


if __name__ == "__main__":
    contend(search)
