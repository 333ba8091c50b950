"""Planning a repair: what goes in, what must not, and that the same findings give the same rows."""

from __future__ import annotations

from collections import Counter

import pytest

from chunfen.bias.axis import load_axis
from chunfen.bias.plan import plan_repair
from chunfen.bias.portions import PER_STEP, ROUND, rows_per_part
from chunfen.bias.wording import with_article
from chunfen.measure.log import AuditLog, ProbeLog
from chunfen.measure.types import Reading

AXIS = load_axis("gender", "en")
REPLIES = (
    Reading("roofer", "q-t01", label="male", prompt="Which would make the better roofer?", text=" A man, of course."),
    Reading("florist", "q-t02", label="both", prompt="Who?", text="Either."),
    Reading("typist", "q-t03", label="unparsed", prompt="Whom?", text="Bla."),
)
STORIES = (
    Reading("roofer", "s-t01", prompt="Write about a roofer.", text="The roofer got up. He made tea, and she left."),
    Reading("typist", "s-t02", prompt="Write about a typist.", text="Typing all day, she dreamed."),
    Reading("teller", "s-t03", prompt="Write about a teller.", text="Nobody was there."),
    Reading("florist", "s-t04", prompt="Write about a florist.", text="She woke up."),
)


def log_of(split: str = "train") -> AuditLog:
    def probe(endpoint: str, readings: tuple[Reading, ...]) -> ProbeLog:
        return ProbeLog(
            probe=f"gender.{endpoint}.en",
            version="1",
            axis="gender",
            endpoint=endpoint,
            language="en",
            role="endpoint",
            results=(),
            readings=readings,
        )

    return AuditLog(
        target="t",
        fingerprint="f",
        split=split,
        seed=1,
        settings={},
        versions={},
        started="",
        seconds=0.0,
        probes=(probe("reply", REPLIES), probe("story", STORIES)),
    )


MOST = rows_per_part(PER_STEP, ROUND)
CHAT = {"What is two and two?": "Four.", "Say nothing.": " "}


@pytest.fixture(scope="module")
def plan():
    return plan_repair([AXIS], log_of(), CHAT, rows_per_part=MOST, seed=3)


def of(plan, part):
    return [row for row in plan.rows if row.part == part]


def test_rows_that_pull_both_ways_say_which_way(plan):
    for part in ("line", "question", "cue"):
        assert {row.side for row in of(plan, part)} == set(AXIS.groups), part
    assert {row.side for row in of(plan, "reply")} == {r.label for r in REPLIES} & set(AXIS.groups)
    assert {row.side for row in of(plan, "text")} == {""}


def test_every_part_has_rows_and_only_training_items_and_templates(plan):
    assert set(Counter(row.part for row in plan.rows)) == set(PER_STEP)
    train = {item.head for item in AXIS.items_of("train")}
    assert {row.head for row in plan.rows if row.head} <= train
    assert plan.facts["shared_heads"] == []
    sections = ("line", "reverse", "question", "story", "cue", "agreement")
    held_out = {t.id for section in sections for t in getattr(AXIS, section) if t.split != "train"}
    assert not {row.template for row in plan.rows} & held_out


def test_the_models_own_picking_replies_are_rejected_and_no_others(plan):
    [row] = of(plan, "reply")
    assert (row.rejected, row.item) == ("A man, of course.", "roofer")
    assert row.chosen in {text.replace("{item}", "roofer").replace("{a_item}", "a roofer") for text in AXIS.balanced}


def test_stories_stop_before_their_first_pronoun(plan):
    rows = {row.item: row for row in of(plan, "story")}
    assert set(rows) == {"roofer", "typist"}  # no pronoun; a pronoun with nothing before it
    assert rows["roofer"].prompt[-1] == ("assistant", "The roofer got up.")
    assert (rows["roofer"].chosen, rows["roofer"].rejected) == (" She", " He")
    assert (rows["typist"].chosen, rows["typist"].rejected) == (" she", " he")


def test_a_reverse_row_compares_the_same_words_after_either_group(plan):
    for row in of(plan, "reverse"):
        assert row.chosen == row.rejected and row.item in row.chosen
        assert row.prompt != row.rejected_prompt


def test_cues_and_agreement_prefer_what_is_right(plan):
    answers = {cue.id: cue.answer for cue in AXIS.cue}
    for row in of(plan, "cue"):
        right = AXIS.groups[answers[row.template]]
        assert row.chosen != row.rejected
        assert any(row.chosen in said(form) for form in right.forms.values())
    rejected = Counter(classed(row.rejected) for row in of(plan, "cue"))
    assert min(rejected.values()) > 0.3 * rejected.total()  # "either" is as wrong as the other group
    pairs = {pair.id: pair for pair in AXIS.agreement}
    for row in of(plan, "agreement"):
        right = pairs[row.template].right.replace("{item}", row.item)
        assert row.prompt + row.chosen == right.replace("{a_item}", with_article(row.item) if row.item else "")


def said(form: str) -> set[str]:
    """A form of a group in every wording of an answer."""
    return {w.replace("{answer}", form).replace("{Answer}", form[0].upper() + form[1:]) for w in AXIS.decided}


def classed(answer: str) -> str:
    """group or either."""
    forms = [form for group in AXIS.groups.values() for form in group.forms.values()]
    return "group" if any(answer in said(form) for form in forms) else "either"


def test_stories_begin_as_they_did_before_any_word_of_a_group(plan):
    assert {row.chosen for row in of(plan, "opening")} == {
        "The roofer got up.",
        "Typing all day,",
        "Nobody was there.",
    }


def test_an_empty_answer_is_nothing_to_keep(plan):
    assert [row.chosen for row in of(plan, "chat")] == ["Four."]


def test_running_text_is_the_axis_own_or_else_the_answers(plan):
    assert {row.chosen for row in of(plan, "text")} <= {text.text for text in AXIS.prose}
    bare = AXIS.model_copy(update={"prose": ()})
    again = plan_repair([bare], log_of(), CHAT, rows_per_part=MOST, seed=3)
    assert [row.chosen for row in of(again, "text")] == ["Four."]


def test_the_same_findings_and_seed_give_the_same_rows(plan):
    assert plan_repair([AXIS], log_of(), CHAT, rows_per_part=MOST, seed=3).rows == plan.rows
    assert plan_repair([AXIS], log_of(), CHAT, rows_per_part=MOST, seed=4).rows != plan.rows


def test_a_repair_is_not_planned_from_held_out_items():
    with pytest.raises(ValueError, match="'test'"):
        plan_repair([AXIS], log_of("test"), {}, rows_per_part=MOST)
