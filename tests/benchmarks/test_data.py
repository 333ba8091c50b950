"""The shipped sets: enough items, nothing shared between splits, no gender where there should be none."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from chunfen.benchmarks.guards import DATA
from chunfen.benchmarks.items import Choice, GuardSet, Paragraph, TwoTexts, read_set
from chunfen.benchmarks.scoring import cut_pair

SETS = {path.name.partition(".")[0]: read_set(path) for path in sorted(DATA.glob("*.en.jsonl"))}

TEST_ITEMS = {
    "age": 60,
    "chat_quality": 40,
    "choice_accuracy": 240,
    "cloze": 120,
    "grammar": 80,
    "nationality": 60,
    "perplexity": 50,
    "reply_length": 24,
}
"""The least number of items in the test split."""

GENDERED = set(
    """he she him her his hers himself herself man woman men women boy girl boys girls male female males
    females mother father mothers fathers mom dad mum son daughter sons daughters brother sister brothers
    sisters uncle aunt nephew niece husband wife husbands wives king queen kings queens prince princess lord
    lady ladies gentleman gentlemen sir madam mr mrs ms grandmother grandfather grandma grandpa actress
    waitress waiter hostess landlady landlord bride groom widow widower guy guys lad lass""".split()  # noqa: SIM905
)
SMALL_WORDS = set(
    """a an and are at by can could do does for from give have how i in is it many me much my name need of
    on one or sentence should tell that the their there they this to two use was we what when where which
    who why with write you your""".split()  # noqa: SIM905
)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def everything(found: GuardSet) -> list[str]:
    """All texts of a set, answers and options included."""
    texts = []
    for item in found.items:
        fields = (value for key, value in item if key not in ("id", "split", "topic"))
        texts += list(chain.from_iterable(v if isinstance(v, tuple) else (v,) for v in fields))
    return texts


def test_sets_are_there_and_large_enough() -> None:
    assert {name: len(found.of("test")) for name, found in SETS.items()}.keys() == TEST_ITEMS.keys()
    for name, least in TEST_ITEMS.items():
        assert len(SETS[name].of("test")) >= least, name
    assert len(SETS["choice_accuracy"].of("dev")) >= 40
    assert len(SETS["perplexity"].of("dev")) >= 10
    assert len(SETS["chat_quality"].of("train")) >= 60


@pytest.mark.parametrize("name", SETS)
def test_headers_say_what_the_set_is(name: str) -> None:
    header = SETS[name].header
    assert (header.name, header.language, header.licence) == (name, "en", "Apache-2.0")
    metric = header.formula.partition(":")[0]
    assert metric in {"probability", "log_perplexity", "preference", "words"} or "probability:" in header.formula


@pytest.mark.parametrize("name", SETS)
def test_no_gendered_word(name: str) -> None:
    found = {word: text for text in everything(SETS[name]) for word in words(text) if word in GENDERED}
    assert not found


def test_what_is_asked_in_one_split_is_asked_in_no_other() -> None:
    """Over all sets: repairs may learn from train prompts, so no other split may hold the same question."""
    asked: dict[frozenset[str], tuple[str, str]] = {}
    for name, found in SETS.items():
        for item in found.items:
            content = frozenset(words(" ".join(item.texts()))) - SMALL_WORDS
            where, split = asked.setdefault(content, (f"{name}/{item.id}", item.split))
            assert split == item.split, (f"{name}/{item.id}", where)


def test_prompts_for_repairs_are_no_near_copies_of_test_prompts() -> None:
    train = [set(words(item.prompt)) - SMALL_WORDS for item in SETS["chat_quality"].of("train")]
    for name in ("chat_quality", "reply_length", "choice_accuracy"):
        for item in SETS[name].of("test"):
            content = set(words(item.texts()[0])) - SMALL_WORDS
            near = [t for t in train if len(t & content) / len(t | content) > 0.67]
            assert not near, (item.texts()[0], near)


def test_options_are_of_one_kind() -> None:
    """The right option is neither the only long nor the only short one."""
    choices: list[Choice] = [*SETS["choice_accuracy"].items, *SETS["cloze"].items]
    longest = sum(len(c.right) > max(map(len, c.wrong)) for c in choices) / len(choices)
    shortest = sum(len(c.right) < min(map(len, c.wrong)) for c in choices) / len(choices)
    assert longest < 0.4
    assert shortest < 0.4
    for choice in choices:
        lengths = [len(option.split()) for option in (choice.right, *choice.wrong)]
        assert max(lengths) - min(lengths) <= 3, choice


def test_the_right_option_is_not_given_away() -> None:
    """A right word that stands in the question would be likely whatever the model knows."""
    known = {"If Sam is taller than Alex, who is shorter?"}
    known |= {"If a red ball is under the table, what color is the ball?"}
    for choice in SETS["choice_accuracy"].items:
        if choice.question not in known:
            assert choice.right.lower() not in words(choice.question), choice


def test_paragraphs_have_about_one_length() -> None:
    """Every text counts the same in the mean, which is fair only if they are about equally long."""
    texts: list[Paragraph] = list(SETS["perplexity"].items)
    prose = [len(words(t.text)) for t in texts if t.topic != "code"]
    assert min(prose) >= 50
    assert max(prose) <= 95
    assert len({t.topic for t in texts}) >= 10


@pytest.mark.parametrize("name", ["grammar", "age", "nationality"])
def test_pairs_differ_in_one_place(name: str) -> None:
    pairs: list[TwoTexts] = list(SETS[name].items)
    for pair in pairs:
        prompt, first, second = cut_pair(*pair.sides())
        assert prompt and first.startswith(" ") and second.startswith(" ")
        a, b = first.split(), second.split()
        same = next((n for n, (x, y) in enumerate(zip(reversed(a), reversed(b), strict=False)) if x != y), 0)
        assert max(len(a), len(b)) - same <= 3, pair


@pytest.mark.parametrize(("name", "one", "other"), [("age", "young", ("old", "elderly", "older"))])
def test_stereotypes_point_both_ways(name: str, one: str, other: tuple[str, ...]) -> None:
    """So that how frequent a group's word is cancels out."""
    texts = [set(words(item.stereotype)) for item in SETS[name].of("test")]
    share = sum(one in text for text in texts) / len(texts)
    assert 0.4 <= share <= 0.6
    assert all(one in text or text & {*other, "younger"} for text in texts)


def test_each_nationality_is_a_counter_example_too() -> None:
    test = SETS["nationality"].of("test")
    sides: tuple[set[str], set[str]] = (set(), set())
    for item in test:
        for found, one, another in ((sides[0], *item.sides()), (sides[1], *reversed(item.sides()))):
            found |= set(re.findall(r"\b[A-Z]\w+", one)) - set(re.findall(r"\b[A-Z]\w+", another))
    assert len(sides[0]) >= 20
    assert len(sides[0] & sides[1]) >= 0.6 * len(sides[0])
