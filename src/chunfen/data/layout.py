"""Which files of a repository hold the rows that are wanted: pure functions of its file names and its README.

A README may say it (``configs``, as Hugging Face writes it: subsets, splits, and patterns of file names); otherwise
names do: folders are subsets, and words such as train or validation are splits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from chunfen.data.files import READERS, kind_of_file
from chunfen.errors import SettingError, did_you_mean

Files = Mapping[str, Sequence[str]]
"""Split → names of its files."""

WORDS = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test", "evaluation": "test"}
WORDS |= dict.fromkeys(("validation", "valid", "dev", "val"), "validation")
"""Words in file names → the split they mean."""
SHARD = re.compile(r"([A-Za-z0-9_.]+)-\d{3,}-of-\d{3,}")
"""The name of one of several files, as Hugging Face writes them: the split comes first."""
NO_ROWS = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "config.json", "state.json")
ALL = "all"
"""What to write for all subsets."""


def choose(
    names: Iterable[str],
    listed: Sequence[Mapping[str, Any]],
    subsets: Sequence[str] = (),
    splits: Sequence[str] = ("train",),
) -> list[str]:
    """Names of the files to read, in order.

    listed: what a README says about subsets, as `configs` reads it. subsets: of the repository; none: its only or
    default one; ("all",): each. A name that is none of its subsets but one of its splits picks that. Raises
    SettingError, with what there is, for what cannot be picked.

    >>> choose(["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"], [])
    ['data/train-00000-of-00001.parquet']
    >>> choose(["README.md", "en/rows.jsonl", "zh/rows.jsonl"], [], ["zh"])
    ['zh/rows.jsonl']
    >>> choose(["a.json", "b.json"], [{"config_name": "main", "data_files": "b.json"}])
    ['b.json']
    """
    rows = rows_of(names)
    there = _by_readme(rows, listed) or _by_folder(rows, subsets)
    plain = _default(there)
    if plain and subsets and set(subsets) <= set(there[plain]) - set(there):
        return _picked(there, [plain], subsets)
    return _picked(there, _subsets(there, subsets), splits)


def rows_of(names: Iterable[str]) -> list[str]:
    """Those of the files that hold rows."""
    return [name for name in names if kind_of_file(name) and name.rsplit("/", 1)[-1] not in NO_ROWS]


def configs(readme: str) -> list[Mapping[str, Any]]:
    """What the head of a README says about subsets; nothing where it says nothing that can be read.

    >>> configs("---\\nconfigs:\\n- config_name: en\\n  data_files: en/*.json\\n---\\n# Rows")
    [{'config_name': 'en', 'data_files': 'en/*.json'}]
    """
    head = re.match(r"\s*---\s*\n(.*?)\n---", readme, re.DOTALL)
    try:
        found = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return []
    listed = found.get("configs") if isinstance(found, dict) else None
    return [c for c in listed if isinstance(c, dict) and "config_name" in c] if isinstance(listed, list) else []


def pattern(glob: str) -> re.Pattern[str]:
    """A pattern of file names: ``*`` stays in its folder, ``**`` does not.

    >>> [bool(pattern(p).fullmatch("data/en/train-1.json")) for p in ("data/*", "data/**", "**/train-[0-9].json")]
    [False, True, True]
    """
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", glob.removeprefix("./"))
    return re.compile(
        "".join(signs.get(p) or (p.replace("[!", "[^") if p.startswith("[") else re.escape(p)) for p in pieces)
    )


def _by_readme(names: Sequence[str], listed: Sequence[Mapping[str, Any]]) -> dict[str, Files]:
    """Subset → its files, as a README says. The default one is called "default", whatever it is called there."""
    found: dict[str, Files] = {}
    for config in listed:
        data, folder = config.get("data_files"), str(config.get("data_dir") or "").strip("./")
        inside = [n for n in names if not folder or n.startswith(folder + "/")]
        if data is None:
            files = by_split(inside)
        else:
            parts = data if isinstance(data, list) else [data]
            files = _matched(inside, folder, [p if isinstance(p, dict) else {"path": p} for p in parts])
        if any(files.values()):
            found[str(config["config_name"])] = files
            if config.get("default"):
                found.setdefault("default", files)
    return found


def _matched(names: Sequence[str], folder: str, parts: Sequence[Mapping[str, Any]]) -> Files:
    found: dict[str, list[str]] = {}
    for part in parts:
        paths = part.get("path") or ()
        for path in [paths] if isinstance(paths, str) else paths:
            fits = pattern(f"{folder}/{path}" if folder else str(path))
            found.setdefault(str(part.get("split", "train")), []).extend(n for n in names if fits.fullmatch(n))
    return found


def _by_folder(names: Sequence[str], subsets: Sequence[str]) -> dict[str, Files]:
    """Subset → its files, where the names are all there is: those of files and of folders that were asked for."""
    found: dict[str, Files] = {"default": by_split(names)} if names else {}
    for subset in subsets:
        inside = [n for n in names if subset in n.split("/")[:-1] or _stem(n) == subset]
        if inside:
            found[subset] = by_split(inside)
    return found


def by_split(names: Sequence[str]) -> Files:
    """Files by split: "train" where no name says another. Of several kinds of file only the most common one is read.

    >>> dict(by_split(["train.jsonl", "dev.jsonl", "extra.csv"]))
    {'train': ['train.jsonl'], 'validation': ['dev.jsonl']}
    """
    kinds = Counter(map(kind_of_file, names))
    order = list(READERS)
    best = max(kinds, key=lambda kind: (kinds[kind], -order.index(kind)), default="")
    names = [name for name in names if kind_of_file(name) == best]
    found: dict[str, list[str]] = {}
    for name in names:
        if split := _split(name):
            found.setdefault(split, []).append(name)
    return found or {"train": list(names)}


def _split(name: str) -> str:
    """The split that the file's own name, or else a folder, tells; "" for none."""
    shard = SHARD.match(name.rsplit("/", 1)[-1])
    if shard and _word(shard[1]):
        return shard[1]
    return next((word for part in reversed(name.split("/")) if (word := _word(part))), "")


def _word(part: str) -> str:
    return next((WORDS[word] for word in re.split(r"[-._ 0-9]+", part.lower()) if word in WORDS), "")


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].split(".")[0]


def _default(there: Mapping[str, Files]) -> str:
    """The subset that is meant where none is named; "" where that is not clear."""
    return "default" if "default" in there else next(iter(there)) if len(there) == 1 else ""


def _subsets(there: Mapping[str, Files], asked: Sequence[str]) -> list[str]:
    listed = ", ".join(there)
    if not there:
        raise SettingError("it has no files of rows")
    if ALL in asked:
        return list(there)
    for name in asked:
        if name not in there:
            raise SettingError(f"there is no subset {name!r}.{did_you_mean(name, there)} There are: {listed}")
    if not asked and not _default(there):
        raise SettingError(f"it has several subsets; name one behind a colon, or {ALL!r}: {listed}")
    return list(asked) or [_default(there)]


def _picked(there: Mapping[str, Files], subsets: Sequence[str], splits: Sequence[str]) -> list[str]:
    found: list[str] = []
    for subset in subsets:
        files = there[subset]
        for split in splits:
            if split not in files:
                raise SettingError(f"there is no split {split!r}; there are: {', '.join(files)}")
            found += [name for name in files[split] if name not in found]
    return found
