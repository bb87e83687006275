"""The search space as values: what a model declares, what the user overrides, what Optuna samples.

    keras_tuner.HyperParameters  --Parameter.from_config-->  Parameter      one hyperparameter, declared
    search.space.lr: {low: ...}  --Override.apply-------->   Parameter      the same, narrowed
    Parameter                    --suggest--------------->   Value          sampled, stored in the study
    study.trials[7]              --trial_values---------->   {name: Value}  what trial 7 used

A space is defined by running the model: each trial asks for the hyperparameters it reaches, and only
those are in the study. The `Space` a probe returns lists what was seen; it serves for checking overrides,
for counting combinations and for strategies that must know the dimensions beforehand.
"""

from hpsearch.space.override import Override, check_overrides
from hpsearch.space.parameter import Condition, Parameter, Space, Value
from hpsearch.space.points import Point, check_points, default_point, encoded_point
from hpsearch.space.suggestion import SpaceExhausted, encoded, suggest, trial_values

__all__ = [
    "Condition",
    "Override",
    "Parameter",
    "Point",
    "Space",
    "SpaceExhausted",
    "Value",
    "check_overrides",
    "check_points",
    "default_point",
    "encoded",
    "encoded_point",
    "suggest",
    "trial_values",
]
