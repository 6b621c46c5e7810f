"""Record what takes too long for each build: how networks learn, and what tools make of a module.

    python docs/_scripts/record_studies.py           # all studies, in some minutes
    python docs/_scripts/record_studies.py long_gap  # one

A study is written to ``src/unrolled_site/data/NAME.json``. The pages assert their sentences on what
is recorded, and make a part of it again; `tests/test_tools.py` tries the tools again.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # as the pages are executed

import torch

from unrolled_site import comparison, long_gap, tools
from unrolled_site.data import FOLDER

BITS = (8, 16, 24, 32, 40, 48, 60)


def recorded(task: str, name: str) -> dict[str, object]:
    """Train one network on one task; give its rate and its results, one for each seed."""
    rate, models = comparison.compare(name, task)
    length = comparison.TASKS[task][1]
    tests = [comparison.drawn(1000, task, 8, times * length) for times in (1, 2)]
    each: dict[str, list[Any]] = {
        "right": [[comparison.score(m, batches)[1] for batches in tests] for m in models.values()]
    }
    if task == "recall":
        each["followed"] = [comparison.followed(m) for m in models.values()]
    if task == "addition":
        longer = [comparison.drawn(1000, task, 4, bits) for bits in BITS]
        each["longer"] = [[comparison.score(m, b)[1] for b in longer] for m in models.values()]
    print(f"{task:9} {name:14} rate {rate:<5}  right {each['right']}", flush=True)
    return {"rate": rate, **each}


def networks() -> dict[str, Any]:
    results = {
        task: {name: recorded(task, name) for name in comparison.NETWORKS}
        for task in comparison.TASKS
    }
    return {"bits": BITS, "results": results}


def runs() -> dict[str, Any]:
    results: dict[str, list[dict[str, Any]]] = {}
    for name, (make, seeds, options) in long_gap.TRIALS.items():
        results[name] = []
        for seed in range(seeds):
            run = long_gap.learn(make, seed, **options)
            print(f"{name:31} seed {seed}: {run.at_gap:.2f} after {len(run.right)}", flush=True)
            results[name].append(run._asdict())
    return {"results": results}


STUDIES: dict[str, Callable[[], dict[str, Any]]] = {
    "networks": networks,
    "long_gap": runs,
    "tools": partial(tools.report, again=True),
}


def main() -> None:
    for name in sys.argv[1:] or STUDIES:
        study = {"torch": torch.__version__.partition("+")[0], **STUDIES[name]()}
        (FOLDER / f"{name}.json").write_text(json.dumps(study, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
