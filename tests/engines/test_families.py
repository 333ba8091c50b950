"""Trees of texts against one text at a time, family by family."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import peft
import pytest
import torch

from chunfen.data.packing import plan_rows
from chunfen.engines.transformers import masks, scoring
from chunfen.engines.transformers.generation import generate_plainly, generate_tokens
from chunfen.engines.transformers.sampling import choose, uniforms
from chunfen.engines.transformers.scoring import token_logprobs
from chunfen.engines.transformers.selfcheck import TOLERANCE, tree_refusal

from .families import PLAIN, TREE, VOCABULARY, WINDOW, tiny

EXACT = 1e-4
STOP = frozenset(range(190, VOCABULARY))


def work(seed: int = 1) -> tuple[list[list[int]], list[range]]:
    """Forty sequences that fork all over, most longer than the sliding window, one longer than a row."""
    rng = random.Random(seed)
    stems = [[rng.randrange(7, VOCABULARY) for _ in range(rng.randint(1, 30))] for _ in range(5)]
    sequences = []
    for _ in range(39):
        stem = rng.choice(stems)
        sequences.append(stem[: rng.randint(1, len(stem))] + rng.choices(range(7, 11), k=rng.randint(1, 9)))
    sequences.append(stems[0] + [rng.randrange(7, VOCABULARY) for _ in range(440)])
    return sequences, [range(rng.randint(1, len(s) - 1), len(s)) for s in sequences]


def one_by_one(model: torch.nn.Module, sequence: list[int], read: range) -> np.ndarray:
    """The plain loop that everybody understands."""
    with torch.no_grad():
        logprobs = model(input_ids=torch.tensor([sequence])).logits[0].double().log_softmax(-1)
    return np.array([logprobs[position - 1, sequence[position]].item() for position in read])


def worst(model: torch.nn.Module, *, tree: bool) -> float:
    """The largest difference of any text's log-probability, in nats."""
    sequences, reads = work()
    found = token_logprobs(model, sequences, reads, tree=tree, batch_tokens=500)
    return max(
        abs(one_by_one(model, sequence, read).sum() - values.sum(dtype="float64"))
        for sequence, read, values in zip(sequences, reads, found, strict=True)
    )


@pytest.mark.parametrize("family", TREE)
def test_a_tree_gives_the_numbers_of_one_by_one(family):
    model = tiny(family)
    assert tree_refusal(model) == ""
    assert worst(model, tree=True) < 1e-3
    sequences, reads = (part[:-1] for part in work())  # the last one is long, and rounding adds up
    found = token_logprobs(model, sequences, reads, tree=True, batch_tokens=4096)
    for sequence, read, values in zip(sequences, reads, found, strict=True):
        assert values.sum(dtype="float64") == pytest.approx(one_by_one(model, sequence, read).sum(), abs=EXACT)


@pytest.mark.parametrize("family", PLAIN)
def test_a_family_that_cannot_express_a_tree_is_found_out_and_scored_plainly(family):
    model = tiny(family)
    assert tree_refusal(model) != ""
    assert worst(model, tree=False) < 1e-3


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_plain_batches_give_the_same_numbers_too(family):
    assert worst(tiny(family), tree=False) < 1e-3


def wrong_masks():
    """Each is a mistake that somebody has made; all are silent."""
    right = masks.tree_mask

    def everything(config, end, positions, dtype):  # causal in the row: sees its siblings
        return right(torch.full_like(end, end.shape[1]), positions, dtype)

    def boolean_added(config, end, positions, dtype):  # eager adds what it is given
        return (right(end, positions, dtype) == 0).to(dtype)

    def no_window(config, end, positions, dtype):
        return right(end, positions, dtype)

    def window_by_row(config, end, positions, dtype):
        place = torch.arange(end.shape[1])[None].expand_as(end)
        return right(end, place, dtype, WINDOW)

    return {
        "siblings seen": ("llama", everything),
        "boolean added": ("llama-eager", boolean_added),
        "window ignored": ("mistral-window", no_window),
        "window along the row": ("mistral-window", window_by_row),
        "one mask for mixed layers": ("gemma3", no_window),
    }


@pytest.mark.parametrize("mistake", wrong_masks())
def test_the_self_check_catches_a_wrong_mask(mistake, monkeypatch):
    family, wrong = wrong_masks()[mistake]
    model = tiny(family)
    monkeypatch.setattr(scoring, "masks_for", wrong)
    refusal = tree_refusal(model)
    assert refusal.startswith("log-probabilities over a tree are off by")
    assert float(refusal.split()[-2]) > 10 * TOLERANCE


def test_the_self_check_catches_positions_counted_along_the_row(monkeypatch):
    model = tiny("llama")

    def by_row(*arguments, **options):
        rows = plan_rows(*arguments, **options)
        for row in rows:
            row.positions[:] = np.arange(len(row))
        return rows

    monkeypatch.setattr(scoring, "plan_rows", by_row)
    assert tree_refusal(model) != ""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_passes_the_check_and_a_wrong_mask_does_not(dtype, monkeypatch):
    model = tiny("llama").to(dtype)
    assert tree_refusal(model) == ""
    monkeypatch.setattr(scoring, "masks_for", wrong_masks()["siblings seen"][1])
    assert tree_refusal(model) != ""


def adapted(**settings) -> peft.PeftModel:
    """A tiny Llama with an adapter that changes what it says."""
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, lora_alpha=16, task_type="CAUSAL_LM", init_lora_weights=False, **settings)
    return peft.get_peft_model(tiny("llama"), config).eval()


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "down_proj"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["v_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["v_proj"], "lora_dropout": 0.5},
    ],
    ids=str,
)
def test_adapters_are_heard_on_the_head_and_the_embeddings_too(settings):
    model = adapted(**settings)
    assert tree_refusal(model) == ""
    assert worst(model, tree=True) < 1e-3
    on = token_logprobs(model, *work(), tree=True, batch_tokens=500)
    with model.disable_adapter():
        off = token_logprobs(model, *work(), tree=True, batch_tokens=500)
    assert np.abs(np.concatenate(on) - np.concatenate(off)).max() > 0.1


def test_dropout_is_off_while_scoring_and_the_mode_is_given_back():
    model = adapted(target_modules=["v_proj"], lora_dropout=0.5).train()
    values = [np.concatenate(token_logprobs(model, *work(), tree=True, batch_tokens=500)) for _ in range(2)]
    assert (values[0] == values[1]).all()
    assert model.training


def test_prompt_tuning_takes_the_plain_path_with_the_right_numbers():
    torch.manual_seed(1)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    model = peft.get_peft_model(tiny("llama"), config).eval()
    assert tree_refusal(model) != ""
    sequences, reads = work()
    found = token_logprobs(model, sequences, reads, tree=False, batch_tokens=500)
    with torch.no_grad():
        logprobs = model(input_ids=torch.tensor([sequences[0]])).logits[0, 4:].log_softmax(-1)
    expected = sum(logprobs[p - 1, sequences[0][p]].item() for p in reads[0])
    assert found[0].sum() == pytest.approx(expected, abs=EXACT)


def test_gradients_flow_through_a_tree():
    from chunfen.data.packing import collate

    model = tiny("llama")
    sequences, reads = work()
    batch = collate(plan_rows(sequences[:6], reads[:6]))
    scoring.read_logprobs(scoring.read_logits(model, batch, tree=True), batch).sum().backward()
    through_tree = model.model.embed_tokens.weight.grad.clone()
    model.zero_grad()
    for sequence, read in zip(sequences[:6], reads[:6], strict=True):
        logprobs = model(input_ids=torch.tensor([sequence])).logits[0].log_softmax(-1)
        sum(logprobs[p - 1, sequence[p]] for p in read).backward()
    assert torch.allclose(through_tree, model.model.embed_tokens.weight.grad, atol=1e-4)


def prompts(count: int = 9) -> list[list[int]]:
    """Prompts of different lengths, some sharing a prefix, one twice."""
    rng = random.Random(3)
    stem = [rng.randrange(7, VOCABULARY) for _ in range(12)]
    some = [stem[: rng.randint(1, 12)] + rng.choices(range(7, 99), k=rng.randint(1, 9)) for _ in range(count)]
    return [*some, some[0]]


def generate(model, which, asked, *, tree=None, temperature=1.0, new=16):
    noise = np.stack([uniforms(5, str(asked[k]), k, new) for k in which])
    write = generate_plainly if (tree is False) else generate_tokens
    decide = partial(choose, temperature=temperature)
    return write(model, [asked[k] for k in which], noise, decide, stop=STOP, batch_tokens=40)


@pytest.mark.parametrize("family", TREE)
def test_greedy_decoding_equals_transformers_own(family):
    model, asked = tiny(family), prompts()
    found = generate(model, range(len(asked)), asked, temperature=0)
    for prompt, reply in zip(asked, found, strict=True):
        ids = torch.tensor([prompt])
        written = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=16,
            do_sample=False,
            eos_token_id=sorted(STOP),
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        ended = next((k for k, token in enumerate(written) if token in STOP), len(written))
        assert reply == written[:ended]


@pytest.mark.parametrize("family", [*TREE, *PLAIN])
def test_a_sampled_reply_does_not_depend_on_its_batch(family):
    model, asked = tiny(family), prompts()
    tree = family in TREE
    together = generate(model, range(len(asked)), asked, tree=tree)
    assert len({len(reply) for reply in together}) > 1  # they stop at different times
    assert not STOP & {token for reply in together for token in reply}
    backwards = generate(model, range(len(asked))[::-1], asked, tree=tree)[::-1]
    alone = [generate(model, [k], asked, tree=tree)[0] for k in range(len(asked))]
    assert together == backwards == alone
    if tree:
        assert together == generate(model, range(len(asked)), asked, tree=False)


def test_masks_for_a_model_whose_layers_are_all_alike_is_one_tensor():
    model = tiny("llama")
    end = torch.tensor([[2, 2]])
    mask = masks.masks_for(model.config, end, torch.tensor([[0, 1]]), torch.float32)
    assert mask.shape == (1, 1, 2, 2)
