"""Ray Tune's grid search, a trial a core, its logger for MLflow in the driver."""

import os
import tempfile
from pathlib import Path

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")  # as urgent as the others

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from work import SCORE, contend


def train_trial(params, work, train, validation):
    import keras

    class ReportEpochs(keras.callbacks.Callback):
        best = -1.0

        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            if logs[SCORE] <= self.best:
                tune.report(logs)
                return
            self.best = logs[SCORE]
            with tempfile.TemporaryDirectory() as folder:
                self.model.save(Path(folder) / "model.keras")
                tune.report(logs, checkpoint=tune.Checkpoint.from_directory(folder))

    keras.utils.clear_session()
    model = work.build(params)
    model.fit(
        *train,
        epochs=work.epochs,
        batch_size=work.batch_size,
        validation_data=validation,
        verbose=0,
        callbacks=[ReportEpochs()],
    )


def search(work):
    ray.init(num_cpus=work.cores, include_dashboard=False, log_to_driver=False)
    train, validation = work.data()
    logger = MLflowLoggerCallback(tracking_uri=work.mlflow_uri, experiment_name="bench", save_artifact=True)
    keep_best = tune.CheckpointConfig(num_to_keep=1, checkpoint_score_attribute=SCORE)
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(train_trial, work=work, train=train, validation=validation), {"cpu": 1}
        ),
        param_space={name: tune.grid_search(values) for name, values in work.space.items()},
        tune_config=tune.TuneConfig(metric=SCORE, mode="max"),
        run_config=tune.RunConfig(
            storage_path=f"{work.folder}/ray",
            name="bench",
            callbacks=[logger],
            checkpoint_config=keep_best,
            verbose=0,
        ),
    )
    for result in tuner.fit():
        yield result.config, result.metrics_dataframe[SCORE].max()
    ray.shutdown()


if __name__ == "__main__":
    contend(search)
