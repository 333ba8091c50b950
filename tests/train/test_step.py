"""One step: packed texts give the numbers of plain forward passes, and the losses those of their formulas."""

from __future__ import annotations

import pytest
import torch

from chunfen.data.repair_row import RepairRow
from chunfen.engines.transformers.logprobs import picked_logprobs
from chunfen.settings.repair import RepairSettings
from chunfen.train.example import Text
from chunfen.train.forward import Scored, pack_rows, row_logits, score
from chunfen.train.reference import Reference, compute_reference
from chunfen.train.repair.encode import EncodedRow
from chunfen.train.repair.objective import LEAD, batch_losses
from chunfen.train.repair.stage import RepairStage
from engines.families import tiny


def ids(*numbers: int) -> tuple[int, ...]:
    return tuple(numbers)


PREFER = EncodedRow(
    RepairRow("prefer", "", "chosen", "rejected", label=0.8),
    (Text.ending(ids(1, 5, 9, 20, 21, 22), 3), Text.ending(ids(1, 5, 9, 30, 31), 3)),
)
PARITY = EncodedRow(
    RepairRow("parity", "", "she", "he"),
    (Text.ending(ids(1, 5, 9, 40, 50, 51), 3), Text.ending(ids(1, 5, 9, 41, 50, 51), 3)),
)
REVERSE = EncodedRow(
    RepairRow("parity", "", "rest", "rest", rejected_prompt="x"),
    (Text.ending(ids(1, 40, 6, 7), 2), Text.ending(ids(1, 41, 6, 7), 2)),
)
HOLD = EncodedRow(
    RepairRow("hold", "", "right", "wrong"),
    (Text.ending(ids(1, 5, 8, 25, 26), 3), Text.ending(ids(1, 5, 8, 35, 26), 3)),
)
KEEP = EncodedRow(RepairRow("keep", "", "answer"), (Text.ending(ids(1, 5, 60, 61, 62), 2),))
ROWS = [PREFER, PARITY, REVERSE, KEEP, HOLD]
OVERSHOOT = 0.3


@pytest.fixture(scope="module")
def model():
    return tiny("llama")


def plain(model, text: Text) -> torch.Tensor:
    """Log-softmax of one text alone at its read positions: [read, vocabulary]."""
    logits = model(input_ids=torch.tensor([text.ids])).logits[0]
    return logits.log_softmax(-1)[text.reads[0] - 1 : -1]


def logprob(model, text: Text) -> torch.Tensor:
    table = plain(model, text)
    return table[torch.arange(len(table)), torch.tensor(text.ids[text.reads[0] :])].sum()


@pytest.mark.parametrize("tree", [True, False])
def test_packed_texts_score_as_they_do_alone(model, tree):
    with torch.no_grad():
        batch = pack_rows(ROWS, tree=tree)
        scored = score(row_logits(model, batch, tree=tree), batch)
        alone = torch.stack([logprob(model, text) for row in ROWS for text in row.texts])
    torch.testing.assert_close(scored.sums, alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("loss_type", ["dpo", "simpo"])
def test_losses_and_gradients_are_those_of_the_formulas(model, loss_type):
    objective = RepairSettings(
        loss_type=loss_type,
        beta=0.3,
        simpo_gamma=0.6,
        prefer_weight=1.0,
        rpo_alpha=0.5,
        level_weight=0.7,
        split_weight=0.9,
        hold_weight=1.7,
        keep_weight=1.1,
        parity_weight=1.3,
        overshoot=OVERSHOOT,
    )
    stage = RepairStage(objective)
    batch = pack_rows(ROWS, distributions=stage.distributions)
    reference = compute_reference(model, ROWS, stage)
    noise = 0.4 * torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    shifted = Reference(reference.sums + noise, reference.ids, reference.target, reference.begin)

    kept, words, target = shifted.of(range(5))
    losses, _ = batch_losses(batch, score(row_logits(model, batch), batch, words), (kept, target), objective)
    ours = torch.autograd.grad(losses.sum(), model.get_input_embeddings().weight)[0]

    def margin(row: EncodedRow) -> torch.Tensor:
        return logprob(model, row.texts[0]) - logprob(model, row.texts[1])

    def huber(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x.abs() <= 1, x**2 / 2, x.abs() - 0.5)

    sums = shifted.sums
    before = sums[:, 0] - sums[:, 1]
    if loss_type == "dpo":
        ratio = 0.3 * (margin(PREFER) - before[0])
    else:
        ratio = 0.3 * (logprob(model, PREFER.texts[0]) / 3 - logprob(model, PREFER.texts[1]) / 2) - 0.6
    preferred = -0.8 * ratio.sigmoid().log() - 0.2 * (-ratio).sigmoid().log()
    expected = [preferred - 0.5 * logprob(model, PREFER.texts[0]) / 3]
    for number, row in ((1, PARITY), (2, REVERSE)):
        level = (logprob(model, row.texts[0]) + logprob(model, row.texts[1]) - sums[number].sum()) / 2
        expected.append(1.3 * huber(margin(row) + OVERSHOOT * before[number]) + 0.7 * huber(level))

    def kl(target: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return (target * (target.log() - table)).sum(-1).mean()

    with torch.no_grad():
        split = plain(model, PARITY.texts[0])[:1].exp()
        lead = (split[0, 40] / split[0, 41]).log()
        split[0, [40, 41]] = split[0, [40, 41]].sum() * torch.stack([-lead, lead]).mul(OVERSHOOT).sigmoid()
        kept = plain(model, KEEP.texts[0]).exp()
    expected[1] = expected[1] + 0.9 * kl(split, plain(model, PARITY.texts[0])[:1])
    expected.append(1.1 * kl(kept, plain(model, KEEP.texts[0])))
    expected.append(1.7 * huber((before[4] + LEAD - margin(HOLD)).clamp_min(0)))
    theirs = torch.autograd.grad(torch.stack(expected).sum(), model.get_input_embeddings().weight)[0]

    # The reference keeps 64 of 211 tokens; the rest is one bucket, so KL terms may be a little smaller.
    torch.testing.assert_close(losses, torch.stack(expected), atol=2e-2, rtol=0)
    torch.testing.assert_close(losses[[0, 2, 4]], torch.stack(expected)[[0, 2, 4]], atol=1e-4, rtol=0)
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.999


def test_what_is_held_pulls_only_where_it_fell_behind():
    """Gradients of a hold row: none while its lead has grown by LEAD, and towards the right text below that."""
    for gain, pulls in ((LEAD + 0.1, False), (LEAD - 0.1, True)):
        sums = torch.tensor([-1.0 + gain, -3.0], requires_grad=True)
        scored = Scored(sums, sums, torch.zeros(0, 1))
        reference = (torch.tensor([[-1.0, -3.0]]), torch.zeros(0, 1))
        losses, watched = batch_losses(pack_rows([HOLD]), scored, reference, RepairSettings())
        losses.sum().backward()
        assert (sums.grad[0] < 0) == pulls == (sums.grad[1] > 0)
        assert watched["hold_gain"] == pytest.approx(gain)


def test_the_reference_splits_the_two_words_evenly_and_keeps_the_rest(model):
    reference = compute_reference(model, ROWS, RepairStage(RepairSettings(overshoot=0)))
    sums, words, target = reference.of([1])
    with torch.no_grad():
        true = plain(model, PARITY.texts[0])[0].exp()
    assert words[0, :2].tolist() == [40, 41]
    torch.testing.assert_close(target[0, :2], true[[40, 41]].mean().repeat(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(target[0, 2:], true[words[0, 2:]], atol=1e-5, rtol=0)
    torch.testing.assert_close(sums[0, 0], logprob(model, PARITY.texts[0]), atol=1e-4, rtol=0)


def test_rows_that_need_no_reference_are_not_asked_about(model):
    simpo, dpo = (RepairSettings(loss_type=loss_type) for loss_type in ("simpo", "dpo"))
    whole = compute_reference(model, ROWS, RepairStage(dpo))
    some = compute_reference(model, ROWS, RepairStage(simpo))
    assert some.sums[0].tolist() == [0.0, 0.0] != whole.sums[0].tolist()
    for one, other in zip(some.of(range(1, 5)), whole.of(range(1, 5)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    none = compute_reference(model, [PREFER], RepairStage(simpo))
    assert [len(part) for part in none.of([0])] == [1, 0, 0]


def test_log_probabilities_have_the_gradients_of_log_softmax():
    """Against numerical differentiation; positions that are read twice, and one that is not read."""
    logits = torch.randn(40, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    row, token = torch.tensor([0, 3, 3, 3, 39]), torch.tensor([6, 1, 1, 2, 0])
    torch.testing.assert_close(picked_logprobs(logits, row, token), logits.log_softmax(-1)[row, token])
    assert torch.autograd.gradcheck(lambda x: picked_logprobs(x, row, token), (logits,))


def test_a_reference_is_kept_as_it_was_computed(model, tmp_path):
    reference = compute_reference(model, ROWS, RepairStage(RepairSettings(overshoot=0)))
    reference.save(tmp_path / "reference.safetensors")
    again = Reference.load(tmp_path / "reference.safetensors")
    for rows in ([0], [3, 1], range(4)):
        for one, other in zip(reference.of(rows), again.of(rows), strict=True):
            assert torch.equal(one, other)
