"""The workflow lets no stranger's code near a secret, and publishes nothing that is not green."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github"
WORKFLOW = (FOLDER / "workflows" / "site.yml").read_text("utf-8")
DEPENDABOT = (FOLDER / "dependabot.yml").read_text("utf-8")
MAIN = "github.event_name == 'push' && github.ref == 'refs/heads/main'"
PIN = re.compile(r"^ *(?:- )?uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
COMMAND = re.compile(r"make [a-z]+( [A-Z]+=[\w^/.-]+| SUMMARY=\"\$GITHUB_STEP_SUMMARY\")*")


def faults(text: str) -> Iterator[str]:
    """Name each rule that a workflow breaks."""
    flow: dict[Any, Any] = yaml.safe_load(text)
    jobs = flow["jobs"]
    publish = jobs["publish"]
    if flow[True] != {"pull_request": None, "push": {"branches": ["main"]}}:  # YAML reads `on` as True
        yield "runs on proposals and main"
    if flow["permissions"] != {}:
        yield "nothing is permitted to all jobs"
    if re.search(r"secrets|github\.token", re.sub(r"#.*", "", text), re.I):
        yield "no secret is named"
    for line in text.split("\n"):
        if re.match(r" *(- )?uses:", line) and not PIN.match(line):
            yield "actions are pinned by commit"
    for name, job in jobs.items():
        if name != "publish" and (job["permissions"] != {"contents": "read"} or "environment" in job):
            yield "may only read"
        if "uses" in job or not str(job["runs-on"]).startswith("ubuntu-"):
            yield "runs on the host's machines"
        if "continue-on-error" in str(job) or "always()" in str(job):
            yield "red stays red"
        for step in job["steps"]:
            keeps = step.get("with", {}).get("persist-credentials", True)
            if "actions/checkout" in step.get("uses", "") and keeps:
                yield "the checkout keeps no token"
            if "run" in step and not COMMAND.fullmatch(step["run"]):
                yield "one command a step"
    if publish.get("if") != MAIN:
        yield "publishes from main only"
    if publish["permissions"] != {"pages": "write", "id-token": "write"} or "environment" not in publish:
        yield "publishes from an environment of its own"
    if [step.get("uses", "").split("@")[0] for step in publish["steps"]] != ["actions/deploy-pages"]:
        yield "publishes without running code"
    needed = [step.get("run") for name in publish.get("needs", ()) for step in jobs[name]["steps"]]
    if any("if" in jobs[name] for name in publish.get("needs", ())) or not {
        f"make {name}"
        for name in ("runtime", "test", "browsers", "audit", "check", "artefacts", "pythons", "parity")
    } <= set(needed):
        yield "publishes what is green only"


def test_the_workflow_keeps_the_rules() -> None:
    """All of them."""
    assert list(faults(WORKFLOW)) == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("  pull_request:\n", "  pull_request_target:\n", "runs on proposals and main"),
        ("  pull_request:\n", "  pull_request:\n  workflow_run:\n    workflows: [x]\n", "runs on proposals and main"),
        ("branches: [main]", "branches: ['**']", "runs on proposals and main"),
        ("permissions: {}", "permissions: write-all", "nothing is permitted to all jobs"),
        ("${{ vars.SITE_URL }}", "${{ secrets.SITE_URL }}", "no secret is named"),
        ("${{ vars.SITE_URL }}", "${{ github.token }}", "no secret is named"),
        ("${{ vars.SITE_URL }}", "${{ toJSON(Secrets) }}", "no secret is named"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "actions are pinned by commit"),
        ("3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "main # v7.0.1", "actions are pinned by commit"),
        ("ba90b1 # v7.0.1", "ba90b1", "actions are pinned by commit"),
        ("      contents: read\n", "      contents: write\n", "may only read"),
        ("      contents: read\n", "      contents: read\n      id-token: write\n", "may only read"),
        ("    timeout-minutes: 60\n", "    environment: github-pages\n", "may only read"),
        ("runs-on: ubuntu-24.04", "runs-on: self-hosted", "runs on the host's machines"),
        ("- run: make test\n", "- run: make test\n        continue-on-error: true\n", "red stays red"),
        ("persist-credentials: false", "persist-credentials: true", "the checkout keeps no token"),
        ("persist-credentials: false", "fetch-depth: 0", "the checkout keeps no token"),
        ("- run: make test\n", "- run: make test || true\n", "one command a step"),
        ("- run: make test\n", "- run: make test TEST=${{ github.head_ref }}\n", "one command a step"),
        ("- run: make test\n", "- run: pip install x\n", "one command a step"),
        (" && github.ref == 'refs/heads/main'", "", "publishes from main only"),
        (MAIN, "github.event_name == 'push'", "publishes from main only"),
        ("    if: github.event_name == 'push' && github.ref == 'refs/heads/main'\n", "", "publishes from main only"),
        ("    if: github.event_name == 'push' && ", "    if: always() && ", "red stays red"),
        ("    environment:\n", "    env:\n", "publishes from an environment of its own"),
        ("      pages: write", "      contents: write\n      pages: write", "publishes from an environment of its own"),
        ("      - id: deployment\n", "      - run: make x\n      - id: deployment\n", "publishes without running code"),
        ("needs: [check, pythons, parity]", "needs: [pythons, parity]", "publishes what is green only"),
        ("    needs: [check, pythons, parity]\n", "", "publishes what is green only"),
        ("      - run: make test\n", "", "publishes what is green only"),
        ("      - run: make audit\n", "", "publishes what is green only"),
        ("      - run: make test\n", "      - run: make test TEST=docs\n", "publishes what is green only"),
    ],
)  # fmt: skip
def test_each_rule_bites(old: str, new: str, rule: str) -> None:
    """A workflow that breaks one is named by it."""
    assert old in WORKFLOW
    assert rule in list(faults(WORKFLOW.replace(old, new)))


def test_the_workflow_calls_what_there_is() -> None:
    """Each `make` word is a target."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    called = set(re.findall(r"run: make ([a-z]+)", WORKFLOW))
    assert called
    assert called <= targets


def lint(folder: Path) -> list[str]:
    """Hold a `.github` folder to the host's own schemas, and look for what an attacker could use."""
    tools = Path(sys.executable).parent
    schema = [str(tools / "check-jsonschema"), "--builtin-schema"]
    flows, bot = (
        [str(path) for path in sorted((folder / "workflows").iterdir())],
        str(folder / "dependabot.yml"),
    )
    commands = [
        [*schema, "vendor.github-workflows", *flows],
        [*schema, "vendor.dependabot", bot],
        [str(tools / "zizmor"), "--offline", "--pedantic", "--strict-collection", "--no-config", *flows, bot],
    ]
    done = [subprocess.run(words, capture_output=True, text=True, check=False) for words in commands]
    return [f"{Path(one.args[0]).name}: {one.stdout}{one.stderr}" for one in done if one.returncode]


def test_the_linters_find_nothing() -> None:
    """Neither in the form nor in the security of both files."""
    assert lint(FOLDER) == []


@pytest.mark.parametrize(
    ("name", "text", "finds"),
    [
        ("workflows/site.yml", WORKFLOW.replace("runs-on:", "runs_on:", 1), "check-jsonschema"),
        ("workflows/site.yml", WORKFLOW.replace("  pull_request:\n", "  pull_request_target:\n"), "dangerous-triggers"),
        ("workflows/site.yml", WORKFLOW.replace("make test\n", "echo ${{ github.head_ref }}\n"), "template-injection"),
        ("dependabot.yml", DEPENDABOT.replace("weekly", "sometimes", 1), "check-jsonschema"),
        ("dependabot.yml", re.sub(r"    cooldown:\n.*\n", "", DEPENDABOT), "dependabot-cooldown"),
    ],
)  # fmt: skip
def test_the_linters_bite(tmp_path: Path, name: str, text: str, finds: str) -> None:
    """Each of them, in each file."""
    for path, right in (("workflows/site.yml", WORKFLOW), ("dependabot.yml", DEPENDABOT)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text if path == name else right, "utf-8")
    assert finds in "\n".join(lint(tmp_path))


def test_every_dependency_is_kept_up_to_date() -> None:
    """Python's and the host's; a new version waits a week."""
    updates = {one["package-ecosystem"]: one for one in yaml.safe_load(DEPENDABOT)["updates"]}
    assert set(updates) == {"pip", "github-actions"}
    for one in updates.values():
        assert one["schedule"] == {"interval": "weekly"}
        assert one["cooldown"]["default-days"] == 7
