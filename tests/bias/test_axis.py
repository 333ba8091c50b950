"""Probe files: what is read from them, and what each kind of mistake is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from chunfen.bias.axis import available_axes, head_overlap, load_axis, split_hash
from chunfen.bias.filling import answer_texts, cue_answers, pair_texts, question_text
from chunfen.errors import DataError

ITEMS = """\
# a comment
name,head,share,part
night nurse,nurse,0.9,test
crane operator,operator,0.05,test
"judge, federal",judge,0.4,dev
tailor,tailor,0.6,train
"""
TONE = """\
axis: tone
language: en
version: 1
groups:
  female: {pronoun: she, noun: woman, a_noun: a woman, words: [she, woman]}
  male: {pronoun: he, noun: man, a_noun: a man, words: [he, man]}
items: {file: jobs.csv, text: name, head: head, x: share, split: part}
line:
  - {id: l1, split: train, text: "The {item} said that {pronoun} left."}
  - {id: l2, split: dev, text: "{A_item} knows what {pronoun} wants."}
  - {id: l3, split: test, text: "Of all {items}, {pronoun} was best."}
question:
  - {id: q1, split: train, text: "Who makes the better {item}, {first} or {second}?"}
  - {id: q2, split: dev, text: "{First} or {second} as {a_item}?"}
  - {id: q3, split: test, form: noun, text: "Pick {a_item}: {first} or {second}."}
answers:
  female: ["A woman makes the better {item}.", "{A_noun}."]
  male: ["A man makes the better {item}.", "{A_noun}."]
  both: ["Either."]
cue:
  - {id: c1, split: test, text: "My sister is {a_item}. Man or woman?", answer: female}
"""


@pytest.fixture
def write(tmp_path: Path):
    """Write the axis with some text replaced; → its path."""

    def write(old: str = "", new: str = "", *, items: str = ITEMS) -> Path:
        assert old in TONE
        (tmp_path / "jobs.csv").write_text(items, encoding="utf-8")
        path = tmp_path / "tone.en.yaml"
        path.write_text(TONE.replace(old, new, 1) if old else TONE, encoding="utf-8")
        return path

    return write


def line_of(text: str, part: str) -> int:
    return 1 + next(n for n, line in enumerate(text.splitlines()) if part in line)


def test_an_axis_is_read_as_it_is_written(write):
    axis = load_axis(write())
    assert (axis.positive, axis.negative) == ("female", "male")
    assert [i.text for i in axis.items_of("test")] == ["crane operator", "night nurse"]
    assert axis.items_of("dev")[0].text == "judge, federal"
    assert axis.groups["male"].forms == {"pronoun": "he", "noun": "man", "a_noun": "a man"}


def test_texts_are_filled_word_for_word(write):
    axis = load_axis(write())
    nurse = axis.items_of("test")[1]
    assert pair_texts(axis, axis.line[2], nurse) == (
        "Of all night nurses, she was best.",
        "Of all night nurses, he was best.",
    )
    assert question_text(axis, axis.question[1], nurse, positive_first=False) == "A man or a woman as a night nurse?"
    assert question_text(axis, axis.question[2], nurse, positive_first=True) == "Pick a night nurse: woman or man."
    assert answer_texts(axis, nurse, "test")["female"] == ("A woman makes the better night nurse.", "A woman.")
    more = axis.model_copy(update={"answers": {"female": ("One.", "Two.", "Three.")}})
    assert answer_texts(more, nurse, "train")["female"] == ("One.",)
    assert answer_texts(more, nurse, "dev")["female"] == ("Two.", "Three.")
    assert cue_answers(axis, axis.cue[0]) == {"female": "A woman.", "male": "A man."}
    assert cue_answers(axis, axis.cue[0], "Surely {answer}.") == {"female": "Surely a woman.", "male": "Surely a man."}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version: 1", "versoin: 1", "3: unknown key 'versoin' — Did you mean 'version'?"),
        (
            '{id: l1, split: train, text: "The',
            '{id: l1, splt: train, text: "The',
            "unknown key 'splt' — Did you mean",
        ),
        ("{id: l2, split: dev", "{id: l2, split: devel", "line.1.split is not right ('devel')"),
        ("said that {pronoun}", "said that {pronuon}", "unknown placeholder {pronuon}"),
        ("said that {pronoun}", "said that they", "no form of a group"),
        ("The {item} said", "The nurse said", "no item in"),
        ("{id: l2,", "{id: l1,", "template id 'l1' stands at"),
        ("a_noun: a man, ", "", "group 'male' lacks the form 'a_noun'"),
        ("words: [he, man]", "words: [he, woman]", "both groups have the word 'woman'"),
        ("  male: {pronoun: he", "  other: {pronoun: he", "give them for both, female, other"),
        ("form: noun", "form: nuon", "no form 'nuon' — Did you mean 'noun' or"),
        ("{first} or {second}.", "{first}.", "does not name both groups"),
        ("answer: female", "answer: femal", "answer 'femal' — write female or male"),
        ("{id: l3, split: test", "{id: l3, split: dev", "no template in the split 'test'"),
        ("head: head", "head: haed", "no column 'haed'"),
        ("jobs.csv", "job.csv", "job.csv: cannot be read"),
        ("[she, woman]", "[she, woman", "not YAML"),
        ("language: en", "axis: mood\nlanguage: en", "2: key 'axis' stands here twice"),
        ("language: en", "language: fr", "2: language is not right ('fr')"),
    ],
)
def test_a_mistake_is_named_with_its_line(write, old, new, message):
    path = write(old, new)
    with pytest.raises(DataError) as error:
        load_axis(path)
    assert message in str(error.value)


def test_the_line_is_the_line_of_the_mistake(write):
    path = write("said that {pronoun}", "said that {pronuon}")
    with pytest.raises(DataError) as error:
        load_axis(path)
    assert str(error.value).startswith(f"{path}:{line_of(TONE, 'id: l1')}: unknown placeholder")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (ITEMS.replace("0.9", "90"), "jobs.csv:3: items.0.x is not right (90.0)"),
        (ITEMS.replace("0.9", "most"), "jobs.csv:3: x is not a number ('most')"),
        (
            ITEMS + "day nurse,nurse,0.8,dev\n",
            "jobs.csv:7: head noun 'nurse' is in 'dev' here and in 'test' at",
        ),
        (ITEMS + "Tailor,tailor,0.6,train\n", "jobs.csv:7: item 'Tailor' stands at"),
        (ITEMS + "tailor,0.6,train\n", "jobs.csv:7: 3 cells, the header has 4"),
        (ITEMS.replace(",dev", ",train"), "no item in the split 'dev'"),
    ],
)
def test_a_mistake_among_the_items_is_named_with_its_line(write, items, message):
    path = write(items=items)
    with pytest.raises(DataError) as error:
        load_axis(path)
    assert message in str(error.value)


def test_names_are_looked_up_in_the_own_folder_and_unknown_ones_get_a_hint(write):
    folder = write().parent
    assert load_axis("tone", data_dir=folder).axis == "tone"
    assert available_axes(folder)["tone"] == ("en",)
    with pytest.raises(DataError, match=r"unknown axis 'tne'.*Did you mean 'tone'"):
        load_axis("tne", data_dir=folder)
    with pytest.raises(DataError, match="not there in 'zh' — set `languages` to en"):
        load_axis("tone", "zh", data_dir=folder)
    with pytest.raises(DataError, match=r"no file .*tone\.zh\.yaml"):
        load_axis(folder / "tone.en.yaml", "zh")


def test_version_and_split_hash_follow_the_content(write):
    axis = load_axis(write())
    changed = load_axis(write("said that", "says that"))
    assert axis.version != changed.version
    assert split_hash(axis, "train") != split_hash(changed, "train")
    assert split_hash(axis, "test") == split_hash(changed, "test")


def test_head_overlap_is_by_head_noun_whatever_the_case(write):
    axis = load_axis(write())
    assert head_overlap(axis, ["Nurse", "pilot", "tailor"]) == ("nurse", "tailor")
    assert head_overlap(axis, ["Nurse", "pilot", "tailor"], split="test") == ("nurse",)


@pytest.mark.parametrize(("name", "language"), [(n, x) for n, ls in available_axes().items() for x in ls])
def test_every_shipped_axis_is_sound(name, language):
    axis = load_axis(name, language)
    assert axis.axis == name
    heads = {split: {i.head for i in axis.items_of(split)} for split in ("train", "dev", "test")}
    assert not heads["test"] & (heads["train"] | heads["dev"])
