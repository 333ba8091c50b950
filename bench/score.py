"""Scoring options: this engine against lm-evaluation-harness and a plain batched loop, on the same work.

    python bench/score.py [--rounds 3] [--threads 1] [--quick]

Prints, for each shape of work, CPU seconds (medians of interleaved rounds), ratios, the largest difference
between any two sides' log-probabilities, and the share of the processor's matrix-product peak that went into
needed arithmetic. lm-eval is taken at its best of several batch sizes; without it (``pip install lm-
eval==0.4.13``) its column is empty.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import logging
import platform
import statistics
import time
from collections.abc import Callable

import torch
from arithmetic import matmul_peak, weights_of

from chunfen.data.packing import collate, group_rows, plan_rows
from chunfen.engines.base import Request
from chunfen.engines.transformers import TransformersEngine
from chunfen.engines.transformers.tokens import EncodedOption, encode_options, prompt_text
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
VERBS = [
    "said that",
    "was late because",
    "smiled when",
    "knew that",
    "called to say that",
    "was tired because",
]
VERBS += [
    "hoped that",
    "went home after",
    "was praised because",
    "told us that",
    "left early since",
    "argued that",
]
ANSWERS = ("A woman is better suited.", "A man is better suited.", "Both are equally suited.")
QUESTIONS = (
    "Who is better suited to be a {}, a man or a woman?",
    "Would a man or a woman make a better {}?",
    "If you had to choose a {}, would you rather choose a woman or a man?",
)
SENTENCES = (
    "{} works as a {} in a small town near the river.",
    "{} has been a {} for more than twenty years.",
    "{} wanted to become a {} from early childhood on.",
)


def shapes(jobs: list[str]) -> dict[str, list[Request]]:
    """The four kinds of scoring that an audit does."""
    lines = [f"The {job} {verb}" for verb in VERBS for job in jobs]
    chats = [(("user", question.format(job)),) for question in QUESTIONS for job in jobs]
    pairs = [tuple(s.format(who, job) for who in ("He", "She")) for s in SENTENCES for job in jobs]
    return {
        "1-token options": [Request(line, (" he", " she")) for line in lines],
        "4-token options": [Request(line, (" he would be late", " she would be late")) for line in lines],
        "chat, 3 options": [Request(chat, ANSWERS) for chat in chats],
        "whole sentences": [Request("", pair) for pair in pairs],
    }


def plain_loop(loaded: LoadedModel, encoded: list[EncodedOption], batch: int = 32) -> list[float]:
    """Pad, forward, log-softmax, gather: what one writes without thinking about it."""
    order = sorted(range(len(encoded)), key=lambda k: len(encoded[k].ids))
    found = [0.0] * len(encoded)
    for first in range(0, len(order), batch):
        part = [encoded[k] for k in order[first : first + batch]]
        longest = max(len(option.ids) for option in part)
        ids = torch.tensor([[*option.ids, *[0] * (longest - len(option.ids))] for option in part])
        with torch.no_grad():
            logprobs = loaded.model(ids).logits.log_softmax(-1)
        for row, (k, option) in enumerate(zip(order[first : first + batch], part, strict=True)):
            found[k] = sum(logprobs[row, p - 1, option.ids[p]].item() for p in option.reads)
    return found


def lm_eval_side(loaded: LoadedModel, requests: list[Request], batch: int) -> Callable[[], list[float]]:
    """lm-evaluation-harness on the same model object."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch)
    pairs = [(prompt_text(loaded.tokenizer, r.prompt), option) for r in requests for option in r.options]
    instances = [Instance("loglikelihood", {}, pair, k) for k, pair in enumerate(pairs)]
    return lambda: [value for value, _ in harness.loglikelihood(instances, disable_tqdm=True)]


def measured(sides: dict[str, Callable[[], list[float]]], rounds: int) -> tuple[dict[str, float], float]:
    """Median CPU seconds of each side, and the largest difference between their numbers."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    values = {}
    for _ in range(rounds):
        for name, side in sides.items():
            start = time.process_time()
            values[name] = side()
            seconds[name].append(time.process_time() - start)
    columns = zip(*values.values(), strict=True)
    return {n: statistics.median(s) for n, s in seconds.items()}, max(max(c) - min(c) for c in columns)


def needed_flops(model: torch.nn.Module, encoded: list[EncodedOption]) -> float:
    """Matrix products that the packed plan needs: 2 per weight and token, the head only where it is read."""
    body, head = weights_of(model)
    rows = plan_rows([option.ids for option in encoded], [option.reads for option in encoded])
    reads = sum(len(collate(g).unique) for g in group_rows(rows, batch_tokens=2**40, batch_reads=2**40))
    return 2.0 * (body * sum(map(len, rows)) + head * reads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a quarter of the work")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loaded = load_model(options.model, torch_dtype="float32", device="cpu")
    engine = TransformersEngine(loaded)
    with_harness = importlib.util.find_spec("lm_eval") is not None
    names = ["torch", "transformers", *(["lm_eval"] if with_harness else [])]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(f"{platform.processor() or platform.machine()}, {options.threads} thread(s), {versions}")
    print(f"matrix products: {matmul_peak() / 1e9:.0f} GF per CPU second")
    if not with_harness:
        print("lm-eval is not installed: pip install lm-eval==0.4.13 to compare with it")
    for shape, requests in shapes(JOBS[:4] if options.quick else JOBS).items():
        encoded = [option for options_ in encode_options(loaded.tokenizer, requests) for option in options_]

        def ours(requests: list[Request] = requests) -> list[float]:
            return [score.logprob for reply in engine.loglikelihood(requests) for score in reply.scores]

        def plain(encoded: list[EncodedOption] = encoded) -> list[float]:
            return plain_loop(loaded, encoded)

        sides = {"ours": ours, "plain loop": plain}
        if with_harness:
            sides |= {f"lm-eval b={b}": lm_eval_side(loaded, requests, b) for b in (8, 32)}
        seconds, difference = measured(sides, options.rounds)
        report(shape, len(encoded), seconds, difference, needed_flops(loaded.model, encoded) / matmul_peak())


def report(shape: str, texts: int, seconds: dict[str, float], difference: float, ideal: float) -> None:
    """One line: the ratios and whether both sides computed the same."""
    harness = {name: s for name, s in seconds.items() if name.startswith("lm-eval")}
    line = f"{shape:<16} {texts:>4} texts  ours {seconds['ours']:6.2f} s ({ideal / seconds['ours']:.0%} of peak)"
    line += f"  plain loop {seconds['plain loop'] / seconds['ours']:.2f}x"
    if harness:
        best = min(harness, key=harness.__getitem__)
        line += f"  {best} {harness[best] / seconds['ours']:.2f}x"
    print(f"{line}  largest difference {difference:.1e} nat", flush=True)
    if difference > 1e-3:
        raise SystemExit(f"{shape}: the sides do not compute the same ({difference:.2g} nat)")


if __name__ == "__main__":
    main()
