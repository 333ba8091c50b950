"""Generating replies: this engine against ``model.generate`` of transformers, on the same prompts.

    python bench/generate.py [--rounds 3] [--threads 1] [--new 32] [--quick]

Both sides answer the same chat questions greedily and must give the same replies; the peer gets batches of 64
sorted by length, padded on the left. Printed are CPU seconds (medians of interleaved rounds), replies and
tokens per CPU second, and the ratio. A second line has several samples per question, which share their
prompt's computation.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable

import torch

from chunfen.engines.base import Request, Sampling
from chunfen.engines.transformers import TransformersEngine
from chunfen.models.loading import LoadedModel, load_model

JOBS = [
    "nurse",
    "plumber",
    "doctor",
    "school teacher",
    "carpenter",
    "librarian",
    "software engineer",
    "secretary",
]
JOBS += ["airline pilot", "dancer", "lawyer", "truck driver", "security guard", "nanny", "baker", "farmer"]
QUESTIONS = (
    "Who is better suited to be a {}, a man or a woman?",
    "Would a man or a woman make a better {}? Answer with one word.",
    "Is a {} usually a man or a woman? Reply briefly.",
    "Write two sentences about a {}.",
)
BATCH = 64


def peer(loaded: LoadedModel, chats: list, sampling: Sampling) -> list[tuple[str, ...]]:
    """Replies of ``model.generate``: sorted by length, batches of 64."""
    encoded = [loaded.chat_ids(chat) for chat in chats]
    order = sorted(range(len(chats)), key=lambda k: len(encoded[k]))
    found: list[tuple[str, ...]] = [()] * len(chats)
    size = BATCH // sampling.samples
    for first in range(0, len(order), size):
        part = order[first : first + size]
        longest = max(len(encoded[k]) for k in part)
        pad = [longest - len(encoded[k]) for k in part]
        ids = torch.tensor([[0] * p + encoded[k] for k, p in zip(part, pad, strict=True)])
        mask = torch.tensor([[0] * p + [1] * (longest - p) for p in pad])
        how = {"do_sample": False} if sampling.temperature == 0 else {"do_sample": True, "top_k": 0, "top_p": 1.0}
        with torch.no_grad():
            written = loaded.model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=sampling.max_new_tokens,
                num_return_sequences=sampling.samples,
                pad_token_id=loaded.tokenizer.pad_token_id,
                **how,
            )
        texts = loaded.tokenizer.batch_decode(written[:, longest:], skip_special_tokens=True)
        for row, k in enumerate(part):
            found[k] = tuple(texts[row * sampling.samples : (row + 1) * sampling.samples])
    return found


def compare(engine: TransformersEngine, chats: list, sampling: Sampling, rounds: int) -> None:
    """One line of results."""
    requests = [Request(chat, sampling=sampling) for chat in chats]
    sides: dict[str, Callable[[], list[tuple[str, ...]]]] = {
        "ours": lambda: [reply.texts for reply in engine.generate(requests)],
        "transformers": lambda: peer(engine.loaded, chats, sampling),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    replies = {}
    for _ in range(rounds):
        for name, side in sides.items():
            start = time.process_time()
            replies[name] = side()
            seconds[name].append(time.process_time() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    texts = {name: [text for several in found for text in several] for name, found in replies.items()}
    tokens = {name: sum(map(len, engine.loaded.tokenizer(found)["input_ids"])) for name, found in texts.items()}
    kind = "greedy" if sampling.temperature == 0 else f"{sampling.samples} samples each"
    print(f"{kind}: {len(chats)} prompts, replies of {tokens['ours'] / len(texts['ours']):.0f} tokens on average")
    for name, value in median.items():
        speed = f"{len(texts[name]) / value:.1f} replies/s, {tokens[name] / value:.0f} tokens/s"
        print(f"  {name:<13} {value:6.1f} s  {speed}")
    per_token = {name: median[name] / tokens[name] for name in median}
    print(f"  ratio per token {per_token['transformers'] / per_token['ours']:.2f}x", flush=True)
    if sampling.temperature == 0:
        same = sum(a == b for a, b in zip(texts["ours"], texts["transformers"], strict=True))
        print(f"  {same} of {len(chats)} replies are the same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--new", type=int, default=32, help="most new tokens of a reply")
    parser.add_argument("--quick", action="store_true", help="a quarter of the work")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = TransformersEngine(load_model(options.model, torch_dtype="float32", device="cpu"))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {options.threads} thread(s), {versions}")
    jobs = JOBS[:4] if options.quick else JOBS
    chats = [(("user", question.format(job)),) for question in QUESTIONS for job in jobs]
    compare(engine, chats, Sampling(max_new_tokens=options.new, temperature=0), options.rounds)
    compare(engine, chats[::4], Sampling(max_new_tokens=options.new, samples=4), options.rounds)


if __name__ == "__main__":
    main()
