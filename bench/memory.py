"""The memory plan against measured peaks: steps of transformers' Trainer on the CPU, each case in a fresh process.

    python bench/memory.py [--quick]

A case trains two steps of two batches. Measured is the most memory that the process held in them, less what it held
before the model was there (libraries are warmed up with a tiny one). Prints plan, measured and their ratio, with the
allocator as it comes and with glibc told to give large pieces back at once (MALLOC_MMAP_THRESHOLD_), which shows how
much of the difference is fragmentation. Linux only. Exits with 1 if a plan is more than 15 % off.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TOLERANCE = 0.15
SMALL, LARGE = "smollm2-135m-instruct", "qwen2.5-0.5b-instruct"


@dataclass(frozen=True)
class Case:
    """One training. model: a catalogued name; its weights are random, for their values take no memory."""

    model: str
    tuner: str
    dtype: str
    length: int
    rows: int = 1
    attn: str = "eager"
    checkpointing: bool = False


CASES = [
    *(Case(SMALL, t, d, n) for t in ("full", "lora") for d in ("float32", "bfloat16") for n in (256, 1024)),
    Case(SMALL, "lora", "float32", 256, rows=4),
    Case(SMALL, "lora", "float32", 1024, attn="sdpa"),
    Case(SMALL, "full", "float32", 1024, checkpointing=True),
    Case(SMALL, "lora", "bfloat16", 1024, checkpointing=True),
    *(Case(LARGE, t, d, 256) for t in ("full", "lora") for d in ("float32", "bfloat16")),
    Case("gemma-3-270m-it", "full", "float32", 256),
    Case(LARGE, "lora", "float32", 1024),
    Case(LARGE, "lora", "bfloat16", 1024),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the shorter cases of the smaller model")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run(Case(**json.loads(options.case)))))
        return 0
    cases = [case for case in CASES if case.model == SMALL and case.length == 256] if options.quick else CASES
    print(f"{'':<66} {'plan':>6} {'measured':>9} {'ratio':>6}   measured with large pieces given back")
    worst = 0.0
    for case in cases:
        found = in_fresh_process(case, {})
        tidy = in_fresh_process(case, {"MALLOC_MMAP_THRESHOLD_": "131072"})
        plan, measured = found["plan"] / 2**30, found["measured"] / 2**30
        bare = plan - found["fragments"] / 2**30
        worst = max(worst, abs(plan / measured - 1))
        words = [case.model, case.tuner, case.dtype, f"{case.rows}x{case.length}", case.attn]
        name = " ".join([*words, *(["checkpointing"] if case.checkpointing else [])])
        given_back = tidy["measured"] / 2**30
        exact = f"{given_back:.2f}; the plan without fragments {bare:.2f}, ratio {bare / given_back:.2f}"
        print(f"{name:<66} {plan:>6.2f} {measured:>9.2f} {plan / measured:>6.2f}   {exact}", flush=True)
    print(f"largest error {worst:.0%}")
    return 0 if worst <= TOLERANCE else 1


def in_fresh_process(case: Case, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(case: Case) -> dict[str, Any]:
    """Plan and measure one case in this process."""
    import torch
    from transformers import LlamaConfig

    from chunfen.models.shapes import build, config_of
    from chunfen.train.memory import memory_plan

    logging.disable(logging.WARNING)
    compute = getattr(torch, case.dtype)
    with torch.device("meta"):
        planned, _ = tuned(case, build(config_of(case.model), weight_dtype(case), attn_impl=case.attn))
    plan = memory_plan(planned, rows=case.rows, length=case.length, compute=compute, checkpointing=case.checkpointing)
    tiny = LlamaConfig(
        vocab_size=1000, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    train(case, build(tiny, weight_dtype(case), attn_impl=case.attn))
    gc.collect()
    before = memory("VmRSS")
    model = build(config_of(case.model), weight_dtype(case), attn_impl=case.attn)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    train(case, model)
    return {"plan": plan.total, "measured": memory("VmHWM") - before, "fragments": plan.fragments}


def weight_dtype(case: Case) -> Any:
    import torch

    return torch.float32 if case.tuner == "full" else getattr(torch, case.dtype)


def tuned(case: Case, model: Any) -> tuple[Any, Any]:
    """The model with its trainable part, and the tuner's settings."""
    from chunfen.settings.tuner import TunerSettings
    from chunfen.tuners import TUNERS

    more: Any = {"lora_rank": 64, "target_modules": ("all-linear",)} if case.tuner == "lora" else {}
    settings = TunerSettings(tuner_type=case.tuner, **more)
    return TUNERS[case.tuner](model, settings).model, settings


def train(case: Case, model: Any) -> None:
    """Two steps of two batches of random tokens."""
    import torch
    from peft.helpers import disable_input_dtype_casting
    from transformers import Trainer, TrainingArguments

    model, _ = tuned(case, model)
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(0, 1000, (case.length,), generator=draw) for _ in range(4 * case.rows)]
    with tempfile.TemporaryDirectory() as folder:
        given = TrainingArguments(
            output_dir=folder,
            max_steps=2,
            per_device_train_batch_size=case.rows,
            gradient_accumulation_steps=2,
            bf16=case.dtype == "bfloat16",
            activation_checkpointing=case.checkpointing,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            dataloader_pin_memory=False,
        )
        data: Any = [{"input_ids": row, "labels": row} for row in rows]
        with disable_input_dtype_casting(model):
            Trainer(model=model, args=given, train_dataset=data).train()


def memory(name: str) -> int:
    """Bytes that this process holds (VmRSS) or has held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    sys.exit(main())
