"""Runs are listed, shown, compared from what is in their folders."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from chunfen.cli import logs
from chunfen.cli.main import VERBS
from chunfen.cli.show import beyond, verdict_text
from chunfen.cli.verb import Verb
from chunfen.measure.log import AuditLog, Check, ProbeLog, Verdict
from chunfen.measure.types import Result
from chunfen.runs import Run
from chunfen.settings.commands import BalanceCommand

from .conftest import Command


def result(estimate: float | None, half: float = 0.1, **more: object) -> Result:
    low, high = (None, None) if estimate is None else (estimate - half, estimate + half)
    facts = {"unit": "nats", "cases": 4, "items": 2, "templates": 2, "coverage": 1.0} | more
    return Result("slope", estimate, low, high, **facts)  # type: ignore[arg-type]


def audit_log(*results: Result, role: str = "endpoint") -> AuditLog:
    probes = tuple(
        ProbeLog(
            probe=f"gender.line{i}.en", version="1", axis="gender", endpoint="line", language="en", role=role,
            results=(r,), readings=(),
        )
        for i, r in enumerate(results)
    )  # fmt: skip
    return AuditLog(
        target="a-model", fingerprint="f", split="test", seed=1, settings={},
        versions={"chunfen": "0"}, started="now", seconds=1.0, probes=probes,
    )  # fmt: skip


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[Run, Run]:
    """Two finished balances, of which one passed."""
    made = []
    for seed, after, passed in ((1, 0.2, True), (2, 1.9, False)):
        with Run.create("balance", BalanceCommand(output_dir=tmp_path / "runs", seed=seed)) as run:
            run.stage("before", logs.BEFORE).make(audit_log(result(2.0)).save)
            run.stage("after", logs.AFTER).make(audit_log(result(after)).save)
            check = Check(id="P1.slope", group="target", metric="gender.line0.en/slope", passed=passed, floor=0.5)
            run.stage("verdict", logs.VERDICT).make(Verdict(checks=(check,)).save)
        made.append(run)
    return made[0], made[1]


def test_list_show_and_compare(chunfen: Command, two_runs: tuple[Run, Run]) -> None:
    one, other = two_runs
    listed = chunfen("runs", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [one.name, other.name]
    assert listed[1].split()[-2:] == ["done", "pass"]
    assert listed[2].split()[-1] == "miss"
    assert chunfen("runs", "list", "--contains", "nothing").stdout == "There are no runs in runs yet.\n"
    shown = chunfen("runs", "show", one.name).stdout
    for part in ("balance: done", "lora_rank", "gender.line0.en", "[1.9, 2.1]", "P1.slope", "before   done"):
        assert part in shown
    compared = chunfen("runs", "compare", one.name, other.name).stdout
    assert "before gender.line0.en/slope  2 [1.9, 2.1]" in compared
    (row,) = [line for line in compared.splitlines() if line.startswith("after ")]
    assert "0.2 [0.1, 0.3]" in row and "1.9 [1.8, 2]" in row
    (row,) = [line for line in compared.splitlines() if line.startswith("seed")]
    assert row.split() == ["seed", "1", "2"]
    assert "lora_rank" not in compared


def test_a_report_is_written_from_the_folder_alone(chunfen: Command, two_runs: tuple[Run, Run]) -> None:
    done = chunfen("report", two_runs[0].name, "--lang", "zh")
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip())
    assert page.resolve() == two_runs[0].folder / "report.html"
    assert 'lang="zh' in page.read_text(encoding="utf-8")


def test_a_run_is_repeated_with_its_settings_in_a_new_folder(
    chunfen: Command, two_runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def balance(settings: BalanceCommand, run: Run) -> int:
        asked.append((settings, run))
        return 3

    stand_in = SimpleNamespace(balance=Verb(balance, BalanceCommand, None))
    monkeypatch.setitem(sys.modules, "a_verb", stand_in)  # the loop itself takes minutes
    monkeypatch.setitem(VERBS, "balance", ("", "a_verb:balance"))
    old = two_runs[1]
    assert chunfen("runs", "repeat", old.name).returncode == 3
    ((settings, run),) = asked
    assert settings.seed == 2
    assert run.name != old.name and run.folder.parent.resolve() == old.folder.parent
    assert Run.open(run.folder).status == "done"
    table = chunfen("runs", "compare", old.name, run.name).stdout.split("\n\n")[0]
    assert len(table.splitlines()) == 1  # a header, and nothing that differs


def test_a_run_of_another_version_is_not_guessed_at(chunfen: Command, two_runs: tuple[Run, Run]) -> None:
    run = two_runs[0]
    run.manifest["settings"]["from_the_future"] = 1
    run.record()
    done = chunfen("runs", "repeat", run.name)
    assert (done.returncode, "from_the_future" in done.stderr) == (1, True)
    run.manifest["verb"] = "unheard_of"
    run.record()
    assert "has no verb 'unheard_of'" in chunfen("runs", "repeat", run.name).stderr


def test_a_damaged_document_is_named(chunfen: Command, two_runs: tuple[Run, Run]) -> None:
    path = two_runs[0].folder / logs.VERDICT
    path.write_text("{")
    done = chunfen("runs", "show", two_runs[0].name)
    assert done.returncode == 1
    assert "verdict.json is damaged" in done.stderr


def test_the_gate_counts_whole_intervals_of_measured_endpoints_only() -> None:
    log = audit_log(result(2.0), result(-2.0), result(1.05), result(None), result(3.0, measurable=False))
    assert [line.split(":")[0] for line in beyond(log, 1.0)] == ["gender.line0.en", "gender.line1.en"]
    assert list(beyond(audit_log(result(2.0), role="guard"), 1.0)) == []


def test_a_verdict_is_told_in_both_languages() -> None:
    missed = Verdict(checks=(Check(id="P1", group="target", metric="m", passed=None),), quick=True)
    text = verdict_text(missed, "zh")
    assert "修复未成立" in text and "快速模式" in text
    assert "not measured" in text
    assert "is not shown" in verdict_text(missed, "en")
