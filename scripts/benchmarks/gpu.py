"""What several trials a GPU bring: the same search with 1, 2, 4, ... of them, beside plain Keras on that GPU.

    scripts/bench gpu --backend jax --model mlp --trials-per-gpu 1 2 4 8

Each search runs in a process of its own; its whole time counts, as in `compare.py`. The last column is the
most memory of the GPU that was in use, by all processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from work import Work, write

from hpsearch.gpu_memory import measure

EPOCHS = {"mlp": 5, "cnn": 5, "rnn": 3}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "jax", "torch"))
    parser.add_argument("--model", default="mlp", choices=EPOCHS)
    parser.add_argument("--trials-per-gpu", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rows", type=int, default=10_000, help="Images to train on. Default: 10,000.")
    parser.add_argument("--no-plain", action="store_true", help="without plain Keras")
    chosen = parser.parse_args()
    print("| with | trials/hour | of plain Keras | best score | GPU memory, MiB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    plain_s = None
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Work(chosen.model, folder, EPOCHS[chosen.model], chosen.rows, chosen.rows // 5)
        if not chosen.no_plain:
            plain_s = report(work, chosen.backend, None, None)
        for trials in chosen.trials_per_gpu:
            report(work, chosen.backend, trials, plain_s)


def report(work, backend, trials_per_gpu, plain_s):
    """Runs one search, prints its line and returns its seconds."""
    peer = "plain_keras" if trials_per_gpu is None else "hpsearch"
    work = replace(work, folder=f"{work.folder}/{peer}-{trials_per_gpu}", trials_per_gpu=trials_per_gpu or 1)
    folder = Path(work.folder)
    folder.mkdir()
    write(work, folder / "work.json")
    command = [sys.executable, str(Path(__file__).with_name(f"with_{peer}.py"))]
    began_s = time.perf_counter()
    with Memory() as memory, open(folder / "log.txt", "w") as log:
        done = subprocess.run(
            [*command, str(folder / "work.json"), str(folder / "out.json")],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"KERAS_BACKEND": backend},
        )
    wall_s = time.perf_counter() - began_s
    if done.returncode:
        sys.exit(f"{peer} failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    out = json.loads((folder / "out.json").read_text())
    name = "plain Keras" if trials_per_gpu is None else f"hpsearch, {trials_per_gpu} a GPU"
    speed = f"{plain_s / wall_s:.1f}×" if plain_s else ""
    rate = 3600 * len(out["scores"]) / wall_s
    print(f"| {name} | {rate:,.0f} | {speed} | {out['best']:.4f} | {memory.most_mib:,} |", flush=True)
    return wall_s


class Memory:
    """Watches how much memory of the GPUs is in use while it is entered."""

    def __enter__(self):
        self.most_mib, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(0.5):
            used_mib = sum(gpu.total_mib - gpu.free_mib for gpu in measure())
            self.most_mib = max(self.most_mib, used_mib)


if __name__ == "__main__":
    main()
