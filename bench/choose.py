"""How the defaults of a repair are chosen: candidates are trained and judged on the development split alone.

    python bench/choose.py                       the candidates below
    python bench/choose.py "max_steps=60" "max_steps=60 keep_weight=2"

Each candidate is a list of options of `chunfen balance`, added to its defaults. The test split is never read here.
"""

from __future__ import annotations

import sys

from chunfen import balance
from chunfen.measure.log import Verdict

CANDIDATES = ["", "overshoot=0", "loss_type=dpo beta=0.2 prefer_weight=3 rpo_alpha=1", "hold_weight=0", "keep_weight=1"]
SHOWN = ("P1.slope", "P1.default", "P1.item", "P2.reverse", "P3.picking.choice", "P3.picking.reply", "P3.story")
SHOWN += (
    "P3.cue",
    "G.capability",
    "G.perplexity",
    "G.agreement",
    "G.cue",
    "G.untouched",
    "G.chat",
    "G.length",
    "C.time",
)


def main() -> None:
    for candidate in sys.argv[1:] or CANDIDATES:
        options = dict(pair.split("=") for pair in candidate.split())
        verdict = balance(split="dev", languages=["en"], output_dir="bench-runs", **options)
        print(f"\n{candidate or 'defaults'}")
        show(verdict)


def show(verdict: Verdict) -> None:
    for check in verdict.checks:
        if check.id in SHOWN and check.change is not None:
            low, high = (f"{v:.3g}" if v is not None else "–" for v in (check.change_low, check.change_high))
            mark = {True: "pass", False: "MISS", None: "–"}[check.passed]
            print(f"  {check.id:20} {check.metric:36} {check.change:8.3f} [{low}, {high}]  {mark}", flush=True)


if __name__ == "__main__":
    main()
