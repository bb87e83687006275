"""What happens inside a worker. `run_trial` is the way through it, one file a step:

run            one trial: the steps below, in their order
prepare        build and compile the model; its hyperparameters (`hyperparameters`), `probe`
fit            train, in our own order of the rows, or by the user's `HyperModel.fit`
watch          at the end of every epoch: validate, remember the best, report, stop
validation     the metrics of an epoch: `measure` (one pass), `outputs` (classes), `metrics` (numbers)
course         the epochs so far: which is best, whether to stop early; `snapshot` keeps its weights
record, plots  the files a trial leaves
failures       what an exception means
evaluate       the best model, once, on the test rows
rate_range     the learning-rate range test; `rate_curve` reads it
runtime        threads, determinism, memory
"""
