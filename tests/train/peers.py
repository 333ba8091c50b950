"""TRL's trainers on a tiny model, and plain forward passes, text by text, to hold against them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chunfen.train.losses.pair import Pair, ld_weights

PAIRS = {
    "prompt": ["user who is", "user hello . who is a", "assistant is a man a", "user"],
    "chosen": [" a nurse .", " woman", " nurse ? who is a man .", " hello . who"],
    "rejected": [" a man hello who ?", " man . .", " woman", " hello is a nurse"],
}


@dataclass
class World:
    """The tiny model as a reference, and pushed aside as a policy. Trainers get copies, since they change models."""

    policy: Any
    reference: Any
    tokenizer: Any
    folder: Path

    def trainer(
        self,
        kind: type,
        settings: type,
        rows: dict[str, list[Any]],
        *,
        model: Any = None,
        ref: Any = None,
        **more: Any,
    ) -> Any:
        from datasets import Dataset

        args = settings(
            output_dir=str(self.folder),
            per_device_train_batch_size=4,
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            **more,
        )
        return kind(
            model=deepcopy(model or self.policy),
            args=args,
            train_dataset=Dataset.from_dict(rows),
            processing_class=deepcopy(self.tokenizer),
            **({"ref_model": deepcopy(ref)} if ref else {}),
        )


def push(model: Any) -> None:
    """Move every weight a little, so that log-ratios become some nats."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator)


def batch_of(trainer: Any) -> dict[str, Any]:
    """All rows of a trainer, padded by itself."""
    return dict(trainer.data_collator(list(trainer.train_dataset)))


def _plain(model: Any, ids: Tensor) -> Tensor:
    """log p of every token after the first [tokens − 1], from one text alone."""
    log_probs = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
    return log_probs.gather(-1, ids[1:, None])[:, 0]


def answers_of(model: Any, ids: Tensor, attention: Tensor, answer: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Log-probabilities (of the prompt, of the answer) of each text of a padded batch. `answer` marks its tokens."""
    found = []
    for row, real, mask in zip(ids, attention.bool(), answer.bool(), strict=True):
        values = _plain(model, row[real])
        found.append((values[~mask[real][1:]], values[mask[real][1:]]))
    return found


def pair_of(policy: Any, reference: Any | None, *masks: Tensor, ld_alpha: float = 1.0) -> Pair:
    """The pairs of a padded batch, chosen texts first. Without a reference the prompts come along."""
    texts = answers_of(policy, *masks)
    half = len(texts) // 2
    lengths = torch.tensor([(len(prompt), len(answer)) for prompt, answer in texts], dtype=torch.float)
    shared = torch.minimum(*lengths[:, 1].chunk(2)).repeat(2)

    def sums(texts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        weights = [ld_weights(torch.arange(len(t)), n, ld_alpha) for (_, t), n in zip(texts, shared, strict=True)]
        values = torch.stack([(t * w).sum() for (_, t), w in zip(texts, weights, strict=True)])
        return values[:half], values[half:]

    pair = Pair(*sums(texts), lengths[:half, 1], lengths[half:, 1])
    if reference is None:
        prompts = torch.stack([prompt.sum() for prompt, _ in texts[:half]])
        return replace(pair, prompt=prompts, prompt_length=lengths[:half, 0])
    with torch.no_grad():
        chosen, rejected = sums(answers_of(reference, *masks))
    return replace(pair, ref_chosen=chosen, ref_rejected=rejected)


def logged(trainer: Any, name: str) -> float:
    """What a trainer noted of its last batch."""
    value: float = trainer._metrics["train" if trainer.model.training else "eval"][name][-1]
    return value
