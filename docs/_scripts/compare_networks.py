"""Train all networks of *What to choose* on all its tasks, and record what they have learned.

``python docs/_scripts/compare_networks.py`` takes some minutes and writes ``_data/networks.json``.
The page asserts its sentences on what is recorded, and trains three of the networks again.
"""

import json
import os
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # as the pages are executed

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled_site import comparison
from unrolled_site.tasks import recall

FILE = Path(__file__).parent.parent / "_data" / "networks.json"
BITS = (8, 16, 24, 32, 40, 48, 60)
LENGTH = comparison.TASKS["recall"][1]


def followed(model: nn.Module) -> float:
    """Give how often a network names a second symbol, as far back as the one it was trained on."""
    torch.manual_seed(1000)
    sequence, _ = recall(500, 2 * LENGTH)  # (500, 2 * LENGTH + 2, 9)
    decoy = torch.randint(4, (500, 1))  # (500, 1)
    sequence[:, -LENGTH - 2] = F.one_hot(decoy[:, 0], 9).float()
    return comparison.tested(model, [(sequence, decoy)])[1]


def recorded(task: str, name: str) -> dict[str, object]:
    """Train one network on one task; give its rate and its results, one for each seed."""
    rate, models = comparison.compare(name, task)
    length = comparison.TASKS[task][1]
    tests = [comparison.drawn(1000, task, 8, times * length) for times in (1, 2)]
    each: dict[str, list[Any]] = {
        "right": [[comparison.tested(m, batches)[1] for batches in tests] for m in models.values()]
    }
    if task == "recall":
        each["followed"] = [followed(m) for m in models.values()]
    if task == "addition":
        longer = [comparison.drawn(1000, task, 4, bits) for bits in BITS]
        each["longer"] = [[comparison.tested(m, b)[1] for b in longer] for m in models.values()]
    print(f"{task:9} {name:14} rate {rate:<5}  right {each['right']}", flush=True)
    return {"rate": rate, **each}


def main() -> None:
    results = {
        task: {name: recorded(task, name) for name in comparison.NETWORKS}
        for task in comparison.TASKS
    }
    version = torch.__version__.partition("+")[0]
    found = {"torch": version, "bits": BITS, "results": results}
    FILE.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"Recorded in {FILE}; the page asserts what it says of them when it is built.")


if __name__ == "__main__":
    main()
