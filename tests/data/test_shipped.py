"""The sets that ship: every row is read, nothing comes twice, and each set is what its card says."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from statistics import median

import pytest
import yaml

from chunfen.bias.axis import load_axis
from chunfen.bias.reader import make_reader, read_choice
from chunfen.data.load import load_rows
from chunfen.data.row import Row

SHIPPED = Path(str(files("chunfen.data"))) / "shipped"
BIAS = Path(str(files("chunfen.bias")))
BENCHMARKS = Path(str(files("chunfen.benchmarks"))) / "data"

KINDS = {
    "instructions-en": "conversation",
    "instructions-zh": "conversation",
    "preferences-en": "preference",
    "preferences-zh": "preference",
    "anti-bias": "preference",
    "corpus": "text",
    "identity": "conversation",
    "classes": "labelled",
    "sums": "prompt",
}
"""Set → `Row.kind` of all its rows."""

OPENINGS = re.compile(
    r"(sure|certainly|of course|absolutely|great question|as an ai|hello)\b|当然|好的|作为|您好|你好|很抱歉",
    re.IGNORECASE,
)
COLUMNS = {"en": ("item", "head"), "zh": ("item_zh", "head_zh")}
"""Language → the columns of the occupations that name them."""

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@cache
def rows(name: str) -> tuple[Row, ...]:
    return tuple(load_rows(SHIPPED / f"{name}.jsonl", strict=True)[0])


def chosen(row: Row) -> str:
    return row.messages[-1].content


def worse(row: Row) -> str:
    return row.rejected[-1].content


def asked(row: Row) -> str:
    """Everything before the last answer."""
    return row.text or "\n".join(message.content for message in row.prompt)


def words(text: str) -> list[str]:
    """Words of English and characters of Chinese, without case and marks."""
    return re.findall(r"[a-z0-9']+|[\u4e00-\u9fff]", text.lower())


def test_every_file_is_known():
    assert {path.stem for path in SHIPPED.glob("*.jsonl")} == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_every_row_is_read(name):
    assert {row.kind for row in rows(name)} == {KINDS[name]}
    raw = (SHIPPED / f"{name}.jsonl").read_bytes()
    assert raw.endswith(b"}\n") and b"\r" not in raw and b"\\u" not in raw
    for row in rows(name):
        turns = [row.text, *(message.content for message in (*row.messages, *row.rejected))]
        assert [text.strip() for text in turns] == turns


def test_the_card_counts_what_is_there():
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    counted = {name: int(count) for name, count in re.findall(r"^\| `([\w-]+)\.jsonl` \| (\d+) \|", card, re.MULTILINE)}
    assert counted == {name: len(rows(name)) for name in KINDS}


def test_nothing_comes_twice():
    every = [asked(row) for name in KINDS for row in rows(name)]
    assert max(Counter(every).values()) == 1
    told = [(text, set(words(text))) for name in KINDS if name != "sums" for text in map(asked, rows(name))]
    for (one, first), (other, second) in combinations(told, 2):
        assert len(first & second) < 0.8 * len(first | second), f"{one!r} and {other!r}"


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind in ("conversation", "preference")])
def test_answers_are_short_and_begin_with_the_answer(name):
    answers = [message.content for row in rows(name) for message in row.messages if message.role == "assistant"]
    assert not [answer for answer in answers if OPENINGS.match(answer) or "as an ai" in answer.lower()]
    assert median(len(words(answer)) for answer in answers) < 40
    assert max(len(words(answer)) for answer in answers) <= 75


@pytest.mark.parametrize("name", ["instructions", "preferences"])
def test_each_language_in_a_file_of_its_own(name):
    assert not any(CHINESE.search(asked(row) + chosen(row)) for row in rows(f"{name}-en"))
    assert all(CHINESE.search(asked(row)) for row in rows(f"{name}-zh"))


@pytest.mark.parametrize("name", ["instructions-en", "instructions-zh"])
def test_conversations_of_every_form(name):
    forms = Counter(
        "system" if row.messages[0].role == "system" else "turns" if len(row.messages) > 2 else "one"
        for row in rows(name)
    )
    assert forms["system"] >= 10 and forms["turns"] >= 10


@pytest.mark.parametrize("name", ["preferences-en", "preferences-zh"])
def test_length_does_not_tell_the_better_answer(name):
    longer = [len(worse(row)) / len(chosen(row)) for row in rows(name)]
    assert sum(0.8 <= ratio <= 1.25 for ratio in longer) >= len(longer) / 3
    flaws = Counter(row.extra["flaw"] for row in rows(name))
    assert flaws.keys() == {"wrong", "rambling", "evasive", "flattering", "preachy", "unfit"}
    assert max(flaws.values()) < len(longer) / 2


def test_the_corpus_has_passages_of_one_size():
    by_language = {tag: [row.text for row in rows("corpus") if row.extra["language"] == tag] for tag in ("en", "zh")}
    assert {tag: len(texts) for tag, texts in by_language.items()} == {"en": 40, "zh": 20}
    assert all(60 <= len(text.split()) <= 120 for text in by_language["en"])
    assert all(120 <= len(text) <= 200 for text in by_language["zh"])


def test_identity_holds_the_two_placeholders_and_no_name():
    answers = [chosen(row) for row in rows("identity")]
    assert {name for answer in answers for name in re.findall(r"\{\{(\w*)\}\}", answer)} == {"NAME", "AUTHOR"}
    assert all("{{" in answer for answer in answers)
    assert not any("{" in asked(row) for row in rows("identity"))
    assert Counter(row.extra["tag"] for row in rows("identity")).keys() == {"en", "zh"}


def test_classes_are_even():
    assert Counter(row.label for row in rows("classes")) == {"food": 20, "weather": 20, "work": 20, "travel": 20}


def test_sums_are_right():
    counted = 0
    for row in rows("sums"):
        found = re.search(r"[\d(][\d ()*/+-]*[\d)]", asked(row))
        expression = found[0] if found else ""
        if re.search(r"[*/+-]", expression):
            assert eval(expression) == int(row.extra["solution"]), asked(row)
            counted += 1
    assert counted == 30
    assert all(str(int(row.extra["solution"])) == row.extra["solution"] for row in rows("sums"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_anti_bias_is_in_balance(language):
    here = [row.extra for row in rows("anti-bias") if row.extra["language"] == language]
    assert Counter(extra["kind"] for extra in here) == {"open": 34, "given": 16}
    assert Counter(e["rejected_group"] for e in here if e["kind"] == "open") == {"female": 17, "male": 17}
    assert Counter(e["stereotype"] for e in here if e["kind"] == "open") == {"with": 17, "against": 17}
    assert Counter(e["given_group"] for e in here if e["kind"] == "given") == {"female": 8, "male": 8}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_anti_bias_answers_say_what_their_columns_say(language):
    reader = make_reader(load_axis("gender", language))
    for row in rows("anti-bias"):
        if row.extra["language"] == language and row.extra["kind"] == "open":
            assert read_choice(worse(row), reader) == row.extra["rejected_group"], worse(row)
            assert read_choice(chosen(row), reader) in ("both", "unparsed"), chosen(row)


def test_anti_bias_uses_no_occupation_that_is_held_out():
    lines = (BIAS / "probes" / "occupations.csv").read_text(encoding="utf-8").splitlines()
    table = csv.DictReader(line for line in lines if not line.startswith("#"))
    held = [item for item in table if item["split"] != "train"]
    names = {language: "|".join(i[column] for i in held for column in columns) for language, columns in COLUMNS.items()}
    english = re.compile(rf"\b({names['en']})s?\b", re.IGNORECASE)
    chinese = re.compile(names["zh"])
    assert len(held) > 100
    for row in rows("anti-bias"):
        text = f"{asked(row)} {chosen(row)} {worse(row)}"
        assert not english.search(text) and not chinese.search(text), text


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in inner for text in strings(part)]


def test_no_prompt_is_one_of_those_that_models_are_measured_with():
    probes = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (BIAS / "probes").glob("*.yaml")]
    measured = [json.loads(line) for path in BENCHMARKS.glob("*.jsonl") for line in path.open(encoding="utf-8")]
    texts = strings(probes) + strings(measured)
    templates = [text for text in texts if "{" in text and len(words(re.sub(r"\{\w*\}", " ", text))) > 2]
    filled = re.compile("|".join(re.sub(r"\\\{\w*\\\}", ".{1,40}?", re.escape(text)) for text in templates))
    known = {" ".join(words(text)) for text in texts}
    assert len(known) > 5000 and len(templates) > 500
    for name in KINDS:
        for row in rows(name):
            for prompt in [row.text, *(message.content for message in row.messages if message.role == "user")]:
                assert not prompt or " ".join(words(prompt)) not in known, prompt
                assert not filled.fullmatch(prompt), prompt
