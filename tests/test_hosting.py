"""What hosts and workflows are told, as far as it shows without a built site."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TAKE_AWAY = ROOT / "docs" / "_ext" / "take_away.py"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = {path.name: path.read_text("utf-8") for path in WORKFLOWS}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# What a job may do beyond reading this repository, and nothing else.
RIGHTS = {
    ("ci.yml", "deploy"): {"pages: write", "id-token: write"},
    ("ci.yml", "notebooks"): {"contents: write"},
    ("release.yml", "publish"): {"id-token: write"},
    ("release.yml", "announce"): {"contents: write"},
}


def jobs(text: str) -> dict[str, str]:
    """Take a workflow apart: the text of each job by its name."""
    parts = re.split(r"^  ([\w-]+):\n", text.partition("\njobs:\n")[2], flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_workflows_are_there() -> None:
    assert {"ci.yml", "release.yml"} <= TEXTS.keys()
    assert {"everything", "deploy"} <= jobs(TEXTS["ci.yml"]).keys()
    assert {"build", "publish", "announce"} == jobs(TEXTS["release.yml"]).keys()


@pytest.mark.parametrize("name", TEXTS)
def test_a_workflow_may_read_and_a_job_what_it_needs(name: str) -> None:
    head, _, _ = TEXTS[name].partition("\njobs:\n")
    assert "\npermissions:\n  contents: read\n" in head
    assert "write" not in head
    for job, text in jobs(TEXTS[name]).items():
        assert set(re.findall(r"^ +([\w-]+: write)\b", text, re.M)) == RIGHTS.get(
            (name, job), set()
        )
        assert "timeout-minutes:" in text, job


def test_an_action_is_one_revision_everywhere() -> None:
    used = [use for text in TEXTS.values() for use in re.findall(r"uses: (.*)", text)]
    pinned = [re.fullmatch(r"([\w/.-]+)@([0-9a-f]{40})  # v\d+\.\d+\.\d+", use) for use in used]
    assert all(pinned), used
    revisions = {(use[1], use[2]) for use in pinned if use}
    assert len(revisions) == len({name for name, _ in revisions}) >= 5


def test_what_is_deployed_is_what_was_checked() -> None:
    ci = jobs(TEXTS["ci.yml"])
    checked, handed_over = ci["everything"].split("actions/upload-pages-artifact@")
    assert "run: bash .ci/run" in checked
    assert "path: docs/_build/html\n" in handed_over
    assert "needs: everything" in ci["deploy"]
    assert "checkout" not in ci["deploy"]


def test_what_pages_offer_to_take_along_is_published() -> None:
    ci = jobs(TEXTS["ci.yml"])
    assert ci["everything"].index("nox -s bundle") < ci["everything"].index("upload-artifact@")
    (name,) = re.findall(r"^BRANCH = \"(\w+)\"$", TAKE_AWAY.read_text("utf-8"), re.M)
    assert f"--initial-branch={name}\n" in ci["notebooks"]
    assert ci["notebooks"].strip().splitlines()[-3].endswith(f'GITHUB_REPOSITORY" {name}')
    assert "needs: everything" in ci["notebooks"]
    assert "checkout" not in ci["notebooks"]


def test_a_tag_is_published_after_the_session_release() -> None:
    release = jobs(TEXTS["release.yml"])
    assert 'nox -s release -- --tag "$GITHUB_REF_NAME"' in release["build"]
    assert "needs: build" in release["publish"]
    assert "checkout" not in release["publish"]
    assert "password:" not in release["publish"]


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert f"\nlicense: {PROJECT['license']}\n" in citation
    assert f"\nrepository-code: {PROJECT['urls']['Source']}\n" in citation
    assert f"\nurl: {PROJECT['urls']['Documentation']}\n" in citation


def test_the_site_is_built_for_its_address() -> None:
    conf = (ROOT / "docs" / "conf.py").read_text("utf-8")
    assert f'"{PROJECT["urls"]["Documentation"]}"' in conf
