"""How much arithmetic a model's work needs, and how fast this processor multiplies matrices at best."""

from __future__ import annotations

import time

import torch


def weights_of(model: torch.nn.Module) -> tuple[int, int]:
    """Weights that every token passes through, and those of the head, which only read positions need."""
    head = model.get_output_embeddings().weight
    embedding = model.get_input_embeddings().weight
    apart = 0 if head is embedding else head.numel()
    return sum(p.numel() for p in model.parameters()) - embedding.numel() - apart, head.numel()


def matmul_peak(dtype: torch.dtype = torch.float32) -> float:
    """FLOP per CPU second of a matrix product in the shape of the default model's largest layer."""
    a, b = torch.randn(1024, 576).to(dtype), torch.randn(576, 1536).to(dtype)
    best = 0.0
    for _ in range(5):
        start = time.process_time()
        for _ in range(30):
            a @ b
        best = max(best, 30 * 2 * 1024 * 576 * 1536 / (time.process_time() - start))
    return best
