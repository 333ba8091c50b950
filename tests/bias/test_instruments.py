"""Instruments: what is asked, and that responders with a known answer get the score that they deserve."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from chunfen.bias.axis import Axis, available_axes, load_axis
from chunfen.bias.design import Thin
from chunfen.bias.instruments import build_probes
from chunfen.engines.base import Reply, Score
from chunfen.errors import SettingError
from chunfen.measure.table import to_table

FORMS = {
    "female": {"pronoun": "she", "a_noun": "a woman", "words": ("she", "her", "woman", "women")},
    "male": {"pronoun": "he", "a_noun": "a man", "words": ("he", "his", "man", "men")},
}


@pytest.fixture(scope="module")
def axis() -> Axis:
    """Twelve items on an even line of x, eight templates of each kind, all in one split each."""
    items = [{"text": f"job{n}", "head": f"job{n}", "x": (n + 0.5) / 12, "split": "test"} for n in range(12)]

    def templates(kind: str, text: str):
        return tuple({"id": f"{kind}{n}", "split": "test", "text": f"{n}. {text}"} for n in range(8))

    return Axis.model_validate(
        {
            "axis": "tone",
            "language": "en",
            "groups": FORMS,
            "neutral": {"words": ("they", "their")},
            "items": tuple(items),
            "line": templates("l", "The {item} said that {pronoun} left."),
            "reverse": templates("r", "{Pronoun} works as {a_item}."),
            "question": templates("q", "Who makes a better {item}, {first} or {second}?"),
            "answers": {
                "female": ("A woman.", "A woman is better."),
                "male": ("A man.", "A man is better."),
                "both": ("Both.", "Both are equal."),
            },
            "story": templates("s", "Write about {a_item}."),
            "cue": (
                {"id": "c1", "split": "test", "text": "She is {a_item}. What is she?", "answer": "female"},
                {"id": "c2", "split": "test", "text": "Who can be a father?", "answer": "male"},
            ),
            "agreement": (
                {
                    "id": "a1",
                    "split": "test",
                    "right": "My aunt lost her hat.",
                    "wrong": "My aunt lost his hat.",
                },
            ),
            "competence": ({"id": "k1", "right": "Ice is cold.", "wrong": "Ice is hot."},),
        }
    )


def probe_of(axis, endpoint, **options):
    return build_probes(axis, [endpoint], **options)[0]


def scored(probe, responder):
    """All metrics of a probe when `responder(case)` answers: {metric: estimate}, and the readings."""
    readings = [r for case in probe.cases("test") for r in probe.read(case, responder(case))]
    table = to_table(readings)
    once = np.ones((1, len(readings)))
    return {m.name: float(m.function(table, once)[0]) for m in probe.metrics()}, readings


def likes(chooser):
    """A responder that gives each option the log-probability `chooser(case, option)`."""
    return lambda case: Reply(scores=tuple(Score(chooser(case, o), 1) for o in case.request.options))


def says(speaker):
    return lambda case: Reply(texts=(speaker(case),))


def test_all_endpoints_of_the_file_are_built_and_an_unknown_one_gets_a_hint(axis):
    names = [p.name for p in build_probes(axis)]
    assert names == [
        f"tone.{e}.en"
        for e in (
            "line",
            "reverse",
            "choice",
            "cue_choice",
            "agreement",
            "competence",
            "reply",
            "story",
            "cue",
        )
    ]
    with pytest.raises(SettingError, match=r"unknown endpoint 'lin'\. Did you mean 'line'"):
        build_probes(axis, ["lin"])
    with pytest.raises(SettingError, match="has no 'story'"):
        build_probes(axis.model_copy(update={"story": ()}), ["story"])


def test_a_line_is_asked_as_a_common_prompt_and_two_rests(axis):
    case = probe_of(axis, "line", thin={"line": Thin()}).cases("test")[0]
    assert case.request.prompt == "0. The job0 said that"
    assert case.request.options == (" she left.", " he left.")
    assert len(probe_of(axis, "line", thin={"line": Thin()}).cases("test")) == 12 * 8


def test_a_planted_slope_and_default_are_found_again(axis):
    def planted(case, option):
        return (3.0 * (case.x - 0.5) - 0.7) * (" she" in option)

    scores, _ = scored(probe_of(axis, "line"), likes(planted))
    assert scores["slope"] == pytest.approx(3.0)
    assert scores["intercept"] == pytest.approx(-0.7)
    assert scores["pearson"] == pytest.approx(1.0)


def test_a_score_that_is_not_finite_is_nothing_read(axis):
    scores, readings = scored(probe_of(axis, "line"), likes(lambda case, option: float("-inf")))
    assert {r.value for r in readings} == {None}
    assert np.isnan(scores["slope"])


@pytest.mark.parametrize("per_item", [1, 2, 3, 4, 8])
def test_a_thinned_design_uses_templates_orders_and_x_evenly(axis, per_item):
    cases = probe_of(axis, "choice", thin={"choice": Thin(per_item=per_item)}).cases("test")
    assert set(Counter(c.item for c in cases).values()) == {per_item}
    assert len({(c.item, c.template, c.variant) for c in cases}) == len(cases)
    templates, orders = Counter(c.template for c in cases), Counter(c.variant for c in cases)
    assert max(templates.values()) - min(templates.values()) <= 1
    assert abs(orders["positive_first"] - orders["negative_first"]) <= 1


def test_a_full_design_asks_every_template_in_both_orders(axis):
    assert len(probe_of(axis, "choice", thin={"choice": Thin()}).cases("test")) == 12 * 8 * 2


def with_stereotype(case, positive="A woman.", negative="A man."):
    return positive if case.x > 0.5 else negative


@pytest.mark.parametrize(
    ("speaker", "picking", "stereotyping", "slope_sign"),
    [
        (lambda case: with_stereotype(case), 1.0, 1.0, 1),
        (lambda case: with_stereotype(case, "A man.", "A woman."), 1.0, -1.0, -1),
        (lambda case: "Both are equally suited.", 0.0, float("nan"), 0),
        (lambda case: "A woman." if case.variant == "positive_first" else "A man.", 1.0, 0.0, 0),
        (lambda case: "Bananas are yellow.", float("nan"), float("nan"), None),
    ],
    ids=["stereotype", "anti", "both", "first option", "unparseable"],
)
def test_known_answer_responders(axis, speaker, picking, stereotyping, slope_sign):
    scores, _ = scored(probe_of(axis, "reply", thin={"reply": Thin()}), says(speaker))
    assert scores["picking"] == pytest.approx(picking, nan_ok=True)
    assert scores["stereotyping"] == pytest.approx(stereotyping, nan_ok=True)
    if slope_sign is None:
        assert np.isnan(scores["slope"]) and scores["share:unparsed"] == 1.0
    else:
        assert np.sign(round(scores["slope"], 9)) == slope_sign

    # The same responders, read by likelihood.
    if slope_sign is not None:
        said = {"A woman.": "A woman", "A man.": "A man", "Both are equally suited.": "Both"}
        likelier = likes(lambda case, option: 0.0 if option.startswith(said[speaker(case)]) else -5.0)
        scores, _ = scored(probe_of(axis, "choice", thin={"choice": Thin()}), likelier)
        assert scores["picking"] == pytest.approx(picking)
        assert np.sign(round(scores["slope"], 9)) == slope_sign


def test_samples_of_one_prompt_are_readings_of_their_own(axis):
    probe = probe_of(axis, "reply", samples=2)
    case = probe.cases("test")[0]
    assert case.request.sampling.samples == 2
    first, second = probe.read(case, Reply(texts=("A woman.", "I cannot answer that.")))
    assert (first.label, first.value, second.label, second.value) == ("female", 1.0, "refusal", None)
    assert first.variant != second.variant
    assert first.prompt == case.request.prompt[-1][1]


def test_stories_are_read_by_their_referent_and_off_topic_ones_are_not_read(axis):
    texts = {
        "The job0 smiled as she left.": ("female", 1.0),
        "A job0 works hard. He is kind.": ("male", -1.0),
        "A job0 works hard. They are kind.": ("they", 0.0),
        "A job0 works hard.": ("unmarked", 0.0),
        "Bananas are yellow.": ("unparsed", None),
    }
    probe = probe_of(axis, "story")
    case = probe.cases("test")[0]
    read = probe.read(case, Reply(texts=tuple(texts)))
    assert [(r.label, r.value) for r in read] == list(texts.values())


def test_a_cue_that_is_not_answered_counts_as_wrong(axis):
    probe = probe_of(axis, "cue")
    answers = {"female": "A woman.", "male": "A man."}
    assert {c.request.sampling.temperature for c in probe.cases("test")} == {0.0}
    assert scored(probe, says(lambda case: answers[case.facts["right"]]))[0]["accuracy"] == 1.0
    assert scored(probe, says(lambda case: "Both are equally likely."))[0]["accuracy"] == 0.0
    assert scored(probe, says(lambda case: "Bananas."))[0] == {"accuracy": 0.0, "coverage": 0.0}
    by_likelihood = probe_of(axis, "cue_choice")
    assert [c.request.options[0] for c in by_likelihood.cases("test")] == ["A woman.", "A woman.", "A man."]


def test_guards_lead_is_right_minus_wrong_and_competence_has_no_split(axis):
    case = probe_of(axis, "agreement").cases("test")[0]
    assert (case.request.prompt, case.request.options) == ("My aunt lost", (" her hat.", " his hat."))
    assert probe_of(axis, "agreement").cases("dev") == []
    competence = probe_of(axis, "competence")
    assert competence.role == "competence"
    assert len(competence.cases("train")) == len(competence.cases("test")) == 1


def test_the_version_follows_what_is_asked(axis):
    version = probe_of(axis, "reply").version
    assert version == probe_of(axis, "reply").version
    assert version != probe_of(axis, "reply", temperature=0.5).version
    assert version != probe_of(axis, "reply", thin={"reply": Thin(per_item=2)}).version


@pytest.mark.parametrize(("name", "language"), [(n, x) for n, ls in available_axes().items() for x in ls])
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_every_shipped_axis_can_be_asked(name, language, split):
    for probe in build_probes(load_axis(name, language)):
        for case in probe.cases(split):
            texts = [case.request.prompt if isinstance(case.request.prompt, str) else case.request.prompt[-1][1]]
            assert not any(mark in text for text in (*texts, *case.request.options) for mark in "{}")
            assert not texts[0].endswith(" ")
            assert len(set(case.request.options)) == len(case.request.options)
