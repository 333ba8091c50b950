"""The main job, measured: `balance` on the default model with several seeds; the tables of the README.

    python bench/balance.py [--seeds 42 43 44] [--quick] [--output_dir bench-runs]

Prints, per seed, every claim with floor, aim, distance to the aim and result, and wall clock and peak memory of the
whole command as the operating system counted them; then the Markdown tables of the README: the first seed, and the
changes of all seeds side by side. Exits with 3 if any seed misses.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from chunfen.measure.log import Check, Verdict
from chunfen.runs.machine import machine, versions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output_dir", type=Path, default=Path("bench-runs"))
    options = parser.parse_args()
    print(f"{machine()}\n{versions()}\n{platform.platform()}\n")
    verdicts = [one(seed, options) for seed in options.seeds]
    print(markdown(verdicts[0]))
    print("\n" + seeds(verdicts, options.seeds))
    passed = sum(v.passed for v in verdicts)
    print(f"\n{passed} of {len(verdicts)} seeds pass every required claim")
    return 0 if passed == len(verdicts) else 3


def one(seed: int, options: argparse.Namespace) -> Verdict:
    name = f"seed-{seed}" + ("-quick" if options.quick else "")
    command = [sys.executable, "-m", "chunfen", "balance", "--seed", str(seed), "--name", name]
    command += ["--output_dir", str(options.output_dir), *(["--quick"] if options.quick else [])]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 3):
        raise SystemExit(f"seed {seed}: exit code {code}; see {options.output_dir / name / 'log.txt'}")
    print(f"seed {seed}: {seconds:.0f} s wall clock, {usage.ru_maxrss / 2**20:.2f} GiB peak, exit code {code}")
    verdict = Verdict.load(options.output_dir / name / "verdict.json")
    for check in verdict.checks:
        print(f"  {line(check)}")
    return verdict


def line(check: Check) -> str:
    result = {True: "pass", False: "MISS", None: "not measured"}[check.passed]
    away = "" if check.aim is None or check.change is None else f", {check.change - check.aim:+.3g} from the aim"
    return (
        f"{check.id:20} {check.metric:40} {number(before(check))} → {number(after(check))}  change {interval(check)} "
        f"floor {number(check.floor)} aim {number(check.aim)}{away}  {result}{'' if check.required else ' (reported)'}"
    )


def markdown(verdict: Verdict) -> str:
    """The table of the README."""
    rows = ["| claim | before | after | change [95 %] | floor | aim | |", "|---|---|---|---|---|---|---|"]
    for check in verdict.checks:
        if check.change is None:
            continue
        result = {True: "pass", False: "**miss**", None: "–"}[check.passed]
        cells = (
            f"{check.id} {check.metric}",
            number(before(check)),
            number(after(check)),
            interval(check),
            number(check.floor),
            number(check.aim),
            result if check.required else f"({result})",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def seeds(verdicts: Sequence[Verdict], numbers: Sequence[int]) -> str:
    """The changes of required claims, one column per seed; misses in bold."""
    rows = [f"| change | {' | '.join(f'seed {n}' for n in numbers)} |", "|---" * (len(numbers) + 1) + "|"]
    for checks in zip(*(v.checks for v in verdicts), strict=True):
        if not checks[0].required or all(c.change is None for c in checks):
            continue
        cells = [number(c.change) if c.passed is not False else f"**{number(c.change)}**" for c in checks]
        rows.append(f"| {checks[0].id} {checks[0].metric} | {' | '.join(cells)} |")
    return "\n".join(rows)


def before(check: Check) -> float | None:
    return check.before.estimate if check.before else None


def after(check: Check) -> float | None:
    return check.after.estimate if check.after else None


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def interval(check: Check) -> str:
    return f"{number(check.change)} [{number(check.change_low)}, {number(check.change_high)}]"


if __name__ == "__main__":
    sys.exit(main())
