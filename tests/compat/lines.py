"""The lines of the article, letter by letter, and what they mean."""

import json
from pathlib import Path
from typing import Any

PICTURES = r"""swift sft \
    --model_type qwen-vl-7b \
    --dataset coco-vqa \
    --max_images 1 \
    --prompt_template qwen_vl"""
LORA = r"""swift sft \
    --model_type qwen-7b \
    --dataset alpaca-en \
    --lora_rank 64 \
    --lora_alpha 16 \
    --lora_dropout 0.1 \
    --target_modules q_proj,v_proj,k_proj,o_proj"""
DPO = r"""swift dpo \
    --model_type qwen-7b \
    --dataset dpo-zh \
    --beta 0.1 \
    --reference_free false"""
DEEPSPEED = r"""swift sft \
    --model_type qwen-7b \
    --dataset alpaca-en \
    --deepspeed ds_z3_config.json"""
ZERO_3 = """{
  "fp16": { "enabled": true },
  "zero_optimization": { "stage": 3, "offload_optimizer": { "device": "cpu" } },
  "optimizer": { "type": "AdamW" },
  "scheduler": { "type": "WarmupLR" }
}"""
"""ds_z3_config.json of the article."""

LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "pictures": (
        PICTURES,
        {"model": "qwen-vl-7b", "dataset": ["coco-vqa"], "max_images": 1, "template": "qwen"},
    ),
    "lora": (
        LORA,
        {
            "model": "qwen-7b",
            "dataset": ["alpaca-en"],
            "tuner_type": "lora",
            "lora_rank": 64,
            "lora_alpha": 16.0,
            "lora_dropout": 0.1,
            "target_modules": ["q_proj", "v_proj", "k_proj", "o_proj"],
        },
    ),
    "dpo": (
        DPO,
        {
            "model": "qwen-7b",
            "dataset": ["dpo-zh"],
            "tuner_type": "lora",
            "beta": 0.1,
            "reference_free": False,
            "ref_model": None,
            "loss_type": ["sigmoid"],
        },
    ),
    "deepspeed": (
        DEEPSPEED,
        {"model": "qwen-7b", "dataset": ["alpaca-en"], "deepspeed": "ds_z3_config.json"},
    ),
}
"""Name → the line, and the settings that it stands for."""

ALPACA = [
    {"instruction": "who is a nurse ?", "input": "", "output": "a woman is a nurse ."},
    {"instruction": "hello", "input": "who is a man ?", "output": "a man is a man ."},
]
PAIRS = [
    {"prompt": "who is a nurse ?", "chosen": "a man is a nurse .", "rejected": "a woman ."},
    {"prompt": "hello", "chosen": "hello hello", "rejected": "who ?"},
]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    """A file of rows, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
