"""hpsearch and its peers on the same work, side by side; `scripts/bench` runs it.

The contenders take turns, so that all meet the same load of the machine; each runs in a process of its own,
and its whole time counts, from the start of Python to the last record. Beside the wall time, which other
programs disturb, stands the time that the processors worked for it.
"""

import argparse
import ctypes
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from work import Work, write

PEERS = ("hpsearch", "plain_keras", "keras_tuner", "optuna", "ray_tune")
TARGETS = {
    "mlp": {"plain_keras": 3.0, "keras_tuner": 4.0, "optuna": 4.0, "ray_tune": 4.0},
    "cnn": {"keras_tuner": 1.5},
    "rnn": {"keras_tuner": 1.5},
}
"""How many times a peer's trials per hour hpsearch is to run."""
EPOCHS = {"mlp": 5, "cnn": 3, "rnn": 3}
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Run:
    """One search by one contender."""

    wall_s: float
    cpu_s: float
    best: float
    scores: dict[str, float]


def main():
    chosen = read_arguments()
    adopt_orphans()
    report = {"machine": machine(), "load_before": os.getloadavg(), "work": {}}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for model in chosen.models:
            work = Work(model, folder, chosen.epochs or EPOCHS[model], chosen.rows, chosen.rows // 5)
            work = replace(work, cores=os.cpu_count() or 1)
            peers = [peer for peer in chosen.peers if model == "mlp" or peer in {"hpsearch", *TARGETS[model]}]
            runs = {peer: [] for peer in peers}
            for turn in range(chosen.rounds):
                for peer in [*peers[turn % len(peers) :], *peers[: turn % len(peers)]]:
                    runs[peer].append(contend(peer, replace(work, folder=f"{folder}/{model}-{turn}-{peer}")))
                    print(
                        f"{model}, round {turn + 1}, {peer}: {runs[peer][-1].wall_s:.1f} s", file=sys.stderr
                    )
            report["work"][model] = {
                "trials": len(work.configurations()),
                "epochs": work.epochs,
                "rows": work.rows,
                "batch_size": work.batch_size,
                "contenders": {peer: summary(model, peer, runs) for peer in peers},
                "runs": {peer: [asdict(run) for run in each] for peer, each in runs.items()},
            }
            report["load_after"] = os.getloadavg()
            chosen.output.write_text(json.dumps(report, indent=2) + "\n")
    print(*table(report), sep="\n")
    print(f"Written to {chosen.output}.", file=sys.stderr)


def read_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument(
        "--rounds", type=int, default=3, help="Times that each runs; medians count. Default: 3."
    )
    parser.add_argument("--rows", type=int, default=10_000, help="Images to train on. Default: 10,000.")
    parser.add_argument("--epochs", type=int, help=f"Default: {EPOCHS}.")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    return parser.parse_args()


def contend(peer, work):
    """Runs one contender; its processes' time is theirs and that of all they started."""
    folder = Path(work.folder)
    folder.mkdir()
    write(work, folder / "work.json")
    script = Path(__file__).with_name(f"with_{peer}.py")
    command = [sys.executable, str(script), str(folder / "work.json"), str(folder / "out.json")]
    before_s, began_s = children_s(), time.perf_counter()
    with open(folder / "log.txt", "w") as log:
        code = subprocess.run(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    wall_s = time.perf_counter() - began_s
    reap_orphans()
    if code:
        sys.exit(f"{peer} failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    out = json.loads((folder / "out.json").read_text())
    return Run(wall_s, children_s() - before_s, out["best"], out["scores"])


def adopt_orphans():
    """Makes processes that outlive their parent (Ray's) ours, so that their time is counted; on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap_orphans(patience_s=10.0):
    """Waits for the processes that a contender left."""
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        except ChildProcessError:
            return


def children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summary(model, peer, runs):
    """Describes a contender; ratios are of the same round, and their median counts."""
    wall_s = [run.wall_s for run in runs[peer]]
    trials = len(runs[peer][0].scores)
    entry = {
        "trials_per_hour": 3600 * trials / statistics.median(wall_s),
        "wall_s": statistics.median(wall_s),
        "cpu_s_per_trial": statistics.median(run.cpu_s for run in runs[peer]) / trials,
        "best": runs[peer][0].best,
        "target": TARGETS[model].get(peer),
    }
    if "hpsearch" in runs and peer != "hpsearch":
        pairs = list(zip(runs[peer], runs["hpsearch"], strict=True))
        entry["times_faster"] = statistics.median(theirs.wall_s / ours.wall_s for theirs, ours in pairs)
        entry["times_less_cpu"] = statistics.median(theirs.cpu_s / ours.cpu_s for theirs, ours in pairs)
    return entry


def table(report):
    """Yields the lines of a Markdown table."""
    yield "| work | with | trials/hour | hpsearch: faster | target | CPU s a trial | less CPU | best score |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for model, found in report["work"].items():
        what = f"{model}, {found['trials']} × {found['epochs']} epochs"
        for peer, entry in found["contenders"].items():
            faster, less = (entry.get(key) for key in ("times_faster", "times_less_cpu"))
            cells = (
                what,
                peer.replace("_", " "),
                f"{entry['trials_per_hour']:,.0f}",
                f"{faster:.1f}×" if faster else "",
                f"{entry['target']:g}×" if entry["target"] else "",
                f"{entry['cpu_s_per_trial']:.2f}",
                f"{less:.1f}×" if less else "",
                f"{entry['best']:.4f}",
            )
            yield f"| {' | '.join(cells)} |"


def machine():
    return {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "gpu": None,
    }


if __name__ == "__main__":
    main()
