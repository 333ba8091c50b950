"""Filling templates: articles, plurals, and the forms of a group's words. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PLACEHOLDER = re.compile(r"\{(\w*)\}")
ITEM_PLACEHOLDERS = ("item", "a_item", "items")

_AN_THOUGH_CONSONANT = re.compile(r"(hour|honest|honou?r|heir)|x-", re.IGNORECASE)
_A_THOUGH_VOWEL = re.compile(
    r"uni(?![nmd])|us[aeu]|uti|ubiq|ute|utop|uran|uro|ukulele|eu|ewe|one\b|once", re.IGNORECASE
)
_SPELT_OUT_VOWELS = frozenset("AEFHILMNORSX")
_IRREGULAR = {"man": "men", "woman": "women", "person": "people", "child": "children", "foot": "feet"}


def with_article(phrase: str) -> str:
    """The English phrase with its indefinite article, chosen by sound.

    >>> [with_article(p) for p in ("nurse", "usher", "hourly worker", "university clerk", "X-ray technician")]
    ['a nurse', 'an usher', 'an hourly worker', 'a university clerk', 'an X-ray technician']
    >>> [with_article(p) for p in ("user", "urban planner", "one-man band", "HR manager", "UX designer")]
    ['a user', 'an urban planner', 'a one-man band', 'an HR manager', 'a UX designer']
    """
    first = re.split(r"[\s\-/]", phrase, maxsplit=1)[0]
    if len(first) > 1 and first.isupper():
        an = first[0] in _SPELT_OUT_VOWELS
    elif _AN_THOUGH_CONSONANT.match(phrase):
        an = True
    else:
        an = phrase[:1].lower() in "aeiou" and not _A_THOUGH_VOWEL.match(phrase)
    return f"{'an' if an else 'a'} {phrase}"


def plural(phrase: str, head: str = "") -> str:
    """The English plural of a noun phrase: of its head where that is found in it, else of its last word.

    >>> [plural(p) for p in ("nurse", "secretary", "coach", "policewoman", "day care boss")]
    ['nurses', 'secretaries', 'coaches', 'policewomen', 'day care bosses']
    >>> plural("director of music", "director")
    'directors of music'
    """
    at = phrase.rfind(head) if head else -1
    before, word, after = (phrase[:at], head, phrase[at + len(head) :]) if at >= 0 else ("", phrase, "")
    for singular, many in _IRREGULAR.items():
        if word.endswith(singular) and not word.endswith("human"):
            return before + word.removesuffix(singular) + many + after
    if re.search(r"[^aeiou]y$", word):
        return f"{before}{word[:-1]}ies{after}"
    return f"{before}{word}{'es' if re.search(r'(s|x|z|ch|sh)$', word) else 's'}{after}"


def capitalised(text: str) -> str:
    """With the first letter in upper case, the rest as it is.

    >>> capitalised("a UX designer")
    'A UX designer'
    """
    return text[:1].upper() + text[1:]


def placeholders(text: str) -> list[str]:
    """Names in braces, in order: ``"{A_item} said {pronoun}"`` → ``["A_item", "pronoun"]``."""
    return PLACEHOLDER.findall(text)


def lower_first(name: str) -> str:
    """``Pronoun`` → ``pronoun``: a placeholder that starts in upper case is the same word, capitalised."""
    return name[:1].lower() + name[1:]


def substitute(text: str, words: Mapping[str, str]) -> str:
    """The text with every placeholder replaced. Raises `KeyError` for a name that `words` lacks.

    >>> substitute("{A_item} said that {pronoun} was late.", {"a_item": "a nurse", "pronoun": "she"})
    'A nurse said that she was late.'
    """

    def word(match: re.Match[str]) -> str:
        name = match[1]
        return words[name] if name in words else capitalised(words[lower_first(name)])

    return PLACEHOLDER.sub(word, text)


def split_pair(first: str, second: str) -> tuple[str, str, str]:
    """(common prompt, rest of the first, rest of the second), cut where a word ends before they differ.

    The prompt never ends in a space or punctuation mark and each rest starts with what follows the word, so
    that tokens are the same whether the text is tokenized whole or in two. In a script without spaces the cut
    is before the last punctuation mark, or at the very start (an empty prompt).

    >>> split_pair("The nurse said that she left.", "The nurse said that he left.")
    ('The nurse said that', ' she left.', ' he left.')
    >>> split_pair("那位护士说，她走了。", "那位护士说，他走了。")
    ('那位护士说', '，她走了。', '，他走了。')
    >>> split_pair("An actress left.", "An actor left.")
    ('An', ' actress left.', ' actor left.')
    >>> split_pair("She left.", "He left.")
    ('', 'She left.', 'He left.')
    """
    same = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    cut = min(len(first), len(second)) if same is None else same
    while cut and not (_word_ends(first, cut) and _word_ends(second, cut)):
        cut -= 1
    return first[:cut], first[cut:], second[cut:]


def _word_ends(text: str, at: int) -> bool:
    return text[at - 1].isalnum() and not text[at : at + 1].isalnum()


def unknown_placeholders(text: str, known: Iterable[str]) -> list[str]:
    """Placeholders of the text that are not in `known` (a capitalised one counts as the plain one)."""
    names = set(known)
    return [n for n in placeholders(text) if n not in names and lower_first(n) not in names]
