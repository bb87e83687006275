"""hpsearch's grid search, with all that it does by default but the report and the conversion to TFLite."""

import os
from functools import partial

from work import SCORE, contend

import hpsearch

BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")


def build(hp, work):
    return work.build({name: hp.Choice(name, values) for name, values in work.space.items()})


def experiment_of(work):
    (x, y), (x_validation, y_validation) = work.data()
    return hpsearch.Experiment(
        name="bench",
        model=partial(build, work=work),
        data={
            "x_train": x,
            "y_train": y,
            "x_validation": x_validation,
            "y_validation": y_validation,
            "x_test": x_validation,
            "y_test": y_validation,
        },
        objective=SCORE,
        search={"strategy": "grid"},
        training={"epochs": work.epochs, "batch_size": work.batch_size, "backend": BACKEND},
        resources={"trials_per_gpu": work.trials_per_gpu},
        tracking={"uri": work.mlflow_uri, "report": False},
        export={"formats": []},
        workdir=f"{work.folder}/runs",
    )


def search(work):
    study = hpsearch.search(experiment_of(work))
    for trial in study.trials:
        yield dict(trial.params), trial.values[0]


if __name__ == "__main__":
    contend(search)
