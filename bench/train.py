"""Training: fine-tuning and DPO with LoRA, here and in TRL, on the same tokens.

    python bench/train.py [--stages sft dpo] [--dtype float32] [--rounds 3] [--threads 1] [--steps 5]

Each side trains in a process of its own, in turn; its first step is not counted. Prints CPU seconds a step (medians of
the rounds), the ratio to the best setting of the other side, peak memory over that of the imports, and the loss of
every step, which must agree; of this side also the rows a second and the share of the processor's matrix-product peak
that went into needed arithmetic: four products per weight and token, shared prefixes once. TRL is taken at its best of
several batch sizes, with its own packing for fine-tuning, and with precomputed references for DPO.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from arithmetic import matmul_peak, weights_of

from chunfen.runs.machine import peak_memory

ROWS = {"sft": "instructions-en", "dpo": "preferences-en"}
PER_STEP = 16
SIDES = {
    "sft": ("ours", "trl 4", "trl 8", "trl 16", "ours packed", "trl packed"),
    "dpo": ("ours", "trl 4", "trl 8", "trl 16"),
}
PACK = 512
LORA: dict[str, Any] = {"r": 8, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}


def settings_of(stage: str, side: str, options: argparse.Namespace, folder: Path) -> Any:
    from chunfen.settings.commands import STAGE_COMMANDS

    packed = {"packing": True, "max_length": PACK, "gradient_accumulation_steps": 4} if "packed" in side else {}
    return STAGE_COMMANDS[stage](
        dataset=(ROWS[stage],),
        max_steps=options.steps,
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        lora_rank=LORA["r"],
        lora_alpha=LORA["lora_alpha"],
        lora_dropout=LORA["lora_dropout"],
        target_modules=(LORA["target_modules"],),
        torch_dtype=options.dtype,
        output_dir=folder,
        logging_steps=1,
        save_steps=10**6,
        **packed,
    )


def ours(stage: str, side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """`chunfen.train` itself, timed at the end of each step."""
    from chunfen.runs import Run
    from chunfen.train.perform import train

    settings = settings_of(stage, side, options, folder)
    run, ends = Run.create(stage, settings), [time.process_time()]
    run.progress = lambda what, done, total: ends.append(time.process_time()) if what == "training" else None
    train(stage, settings, run)
    found = {"ends": ends, "losses": [line["loss"] for line in run.metrics() if "loss" in line], "peak": peak_memory()}
    return found | needed(stage, settings, options)


def needed(stage: str, settings: Any, options: argparse.Namespace) -> dict[str, list[float]]:
    """Rows of each step, and its matrix products in FLOP: forward and back through frozen weights, nothing twice."""
    from chunfen.data.packing import collate, plan_rows
    from chunfen.models.loading import load_model

    body, head = weights_of(load_model(torch_dtype=options.dtype).model)
    examples, batches, per_step = planned(stage, settings)
    rows, flops = [], []
    for k in range(0, len(batches), per_step):
        places = [place for batch in batches[k : k + per_step] for place in batch]
        texts = [text for place in places for text in examples[place].texts]
        plan = plan_rows([text.ids for text in texts], [text.reads for text in texts])
        reads = len(collate(plan).unique)
        rows.append(len(places))
        flops.append(4.0 * (body * sum(map(len, plan)) + head * reads))
    return {"rows": rows, "flops": flops}


def planned(stage: str, settings: Any) -> tuple[Any, list[list[int]], int]:
    """The examples, the batches of a training, and how many of them are a step."""
    from chunfen.runs import Run
    from chunfen.train.load import training_encoder
    from chunfen.train.perform import Training, schedule

    encoder = training_encoder(settings)
    _, examples, _ = Training(stage, settings, Run.create(stage, settings)).examples(encoder)
    plan = schedule(settings, examples.sizes.tolist(), None)
    return examples, plan.batches, plan.per_step


def trl(stage: str, side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """TRL's trainer on the tokens, and in the order, of our own schedule."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback, set_seed

    from chunfen.models.loading import load_model

    settings = settings_of(stage, side, options, folder)
    examples, batches, _ = planned(stage, settings)
    order = [k for batch in batches for k in batch]
    loaded = load_model(torch_dtype=options.dtype)
    ends = [time.process_time()]

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.process_time())

    packed = "packed" in side
    size = PER_STEP if packed else int(side.split()[1])
    given = {
        "output_dir": str(folder / "trl"),
        "max_steps": options.steps,
        "per_device_train_batch_size": 1 if packed else size,
        "gradient_accumulation_steps": 4 if packed else PER_STEP // size,
        "train_sampling_strategy": "sequential",
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_length": PACK if packed else None,
    }
    set_seed(settings.seed)
    common = {"model": loaded.model, "processing_class": loaded.tokenizer, "callbacks": [Clock()]}
    common["peft_config"] = LoraConfig(task_type="CAUSAL_LM", **LORA)
    if stage == "sft":
        from trl import SFTConfig, SFTTrainer

        rows = []
        for k in order if not packed else range(len(examples)):
            [text] = examples[k].texts
            labels = [-100] * len(text.ids)
            for place in text.reads:
                labels[place] = text.ids[place]
            rows.append({"input_ids": list(text.ids), "labels": labels})
        trainer = SFTTrainer(args=SFTConfig(packing=packed, **given), train_dataset=Dataset.from_list(rows), **common)
    else:
        from trl import DPOConfig, DPOTrainer

        class Tokenized(DPOTrainer):
            """Takes tokens as they are, so that both sides have the same."""

            def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
                return dataset

        rows = []
        for k in order:
            chosen, rejected = examples[k].texts
            begin = chosen.reads[0]
            rows.append(
                {
                    "prompt_ids": list(chosen.ids[:begin]),
                    "chosen_ids": list(chosen.ids[begin:]),
                    "rejected_ids": list(rejected.ids[begin:]),
                }
            )
        args = DPOConfig(precompute_ref_log_probs=True, beta=0.1, **given)
        trainer = Tokenized(args=args, train_dataset=Dataset.from_list(rows), **common)
    torch.set_num_threads(options.threads)
    ends[0] = time.process_time()
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return {"ends": ends, "losses": losses, "peak": peak_memory()}


def one_side(options: argparse.Namespace) -> None:
    """Train one side in this process and print what was measured as JSON."""
    torch.set_num_threads(options.threads)
    before = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        side = ours if options.side.startswith("ours") else trl
        found = side(options.stages[0], options.side, options, Path(folder))
    steps = [b - a for a, b in zip(found["ends"], found["ends"][1:], strict=False)][1:]
    told = {"step": statistics.median(steps), "peak": found["peak"] - before, "losses": found["losses"]}
    if "flops" in found:
        told["share"] = sum(found["flops"][1:]) / sum(steps) / matmul_peak(getattr(torch, options.dtype))
        told["rate"] = sum(found["rows"][1:]) / sum(steps)
    print(json.dumps(told))


def in_own_process(stage: str, side: str, options: argparse.Namespace) -> dict[str, Any]:
    words = [sys.executable, "-W", "ignore", __file__, "--stages", stage, "--side", side, "--dtype", options.dtype]
    words += ["--threads", str(options.threads), "--steps", str(options.steps)]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{stage}, {side}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=sorted(ROWS), default=list(ROWS))
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    if options.side:
        one_side(options)
        return
    names = ("torch", "transformers", "peft", "trl")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(f"{options.threads} thread(s), {options.dtype}, {PER_STEP} rows a step, {versions}", flush=True)
    for stage in options.stages:
        report(stage, {side: [] for side in SIDES[stage]}, options)


def report(stage: str, found: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    for _ in range(options.rounds):
        for side, runs in found.items():
            runs.append(in_own_process(stage, side, options))
    step = {side: statistics.median(run["step"] for run in runs) for side, runs in found.items()}
    peak = {side: min(run["peak"] for run in runs) for side, runs in found.items()}
    for side, runs in found.items():
        losses = " ".join(f"{loss:.4f}" for loss in runs[0]["losses"])
        line = f"{stage:<4} {side:<12} {step[side]:7.2f} CPU s a step  {peak[side] / 1e9:5.2f} GB  losses {losses}"
        if "share" in runs[0]:
            rate, share = (statistics.median(run[name] for run in runs) for name in ("rate", "share"))
            line += f"  {rate:.2f} rows per CPU s, {share:.0%} of the peak of matrix products"
        print(line, flush=True)
    for own, others in (
        ("ours", [s for s in found if s.startswith("trl") and "packed" not in s]),
        ("ours packed", ["trl packed"]),
    ):
        if own in found:
            best = min(others, key=step.__getitem__)
            ratio, memory = step[best] / step[own], peak[own] / peak[best]
            print(f"{stage:<4} {own} against {best}: {ratio:.2f}x as fast, {memory:.2f}x the memory", flush=True)


if __name__ == "__main__":
    main()
