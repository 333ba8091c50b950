"""Data sets by name from Python, as Hugging Face data sets with standard fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from chunfen.data.catalog import DatasetSpec, catalog, register
from chunfen.data.row import Row
from chunfen.data.source import load_datasets, open_source
from chunfen.data.stream import stream_datasets
from chunfen.errors import SettingError, did_you_mean
from chunfen.settings.data import DataSettings

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


class DatasetHub(Mapping[str, "Dataset | IterableDataset"]):
    """Some data sets, each loaded when it is asked for.

    datasets: anything that ``--dataset`` takes; none: every name of the catalog. streaming: give IterableDatasets,
    which read rows as they are needed, in their order. settings: further ones of `DataSettings`, such as strict,
    data_seed or shuffle_buffer_size.

    >>> hub = DatasetHub("instructions-en")
    >>> train = hub["instructions-en"]
    >>> train.num_rows, train.column_names[:4]
    (240, ['instruction', 'input', 'output', 'messages'])
    >>> DatasetHub.register(name="my_sums", dataset_fn=lambda: [{"query": "1 + 1?", "response": "2"}], task_type="sft")
    >>> next(iter(DatasetHub("my_sums", streaming=True)["my_sums"]))["output"]
    '2'
    """

    def __init__(self, *datasets: str, streaming: bool = False, **settings: Any) -> None:
        for name in datasets:
            open_source(name)
        self._names = datasets or tuple(catalog())
        self._streaming = streaming
        self._settings = DataSettings(streaming=streaming, **{"shuffle_buffer_size": 1} | settings)

    @staticmethod
    def register(name: str, dataset_fn: Callable[[], Any], task_type: str = "sft", **facts: Any) -> None:
        """Make a data set known by name, here and for ``--dataset``; a later one of the same name replaces it.

        dataset_fn: gives a Dataset, DatasetDict or IterableDataset of Hugging Face, or rows as dicts, in any format
        that `chunfen data check` reads; it is called when the set is read. task_type: what the rows are for. facts:
        further fields of `chunfen.data.catalog.DatasetSpec`, such as columns or split. Raises SettingError for a name
        that the catalog has, and for a task that is not known.
        """
        register(DatasetSpec(name=name, function=dataset_fn, task=task_type, **facts))

    def __getitem__(self, name: str) -> Dataset | IterableDataset:
        if name not in self._names:
            hint = did_you_mean(name, self._names)
            raise SettingError(f"data set {name!r} is not in this hub.{hint} Name it: DatasetHub({name!r}).")
        from datasets import Dataset, Features, IterableDataset

        if self._streaming:
            return IterableDataset.from_generator(partial(_views, name, self._settings))
        rows = [fields(row) for row in load_datasets((name,), self._settings).rows]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
        return Dataset.from_dict(columns, Features({name: feature(values) for name, values in columns.items()}))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _views(name: str, settings: DataSettings) -> Iterator[dict[str, Any]]:
    for row in stream_datasets((name,), settings):
        yield fields(row)


def fields(row: Row) -> dict[str, Any]:
    """A row in the standard fields: those of `Row.as_dict`, and for conversations instruction, input and output.

    instruction: the last question; input: always empty, as the standard row holds one question; output: the answer.

    >>> from chunfen.data.formats import to_row
    >>> fields(to_row({"instruction": "Add.", "input": "2 and 3", "output": "5"}))["instruction"]
    'Add.\\n2 and 3'
    """
    if not row.messages:
        return row.as_dict()
    asked = next((message.content for message in reversed(row.prompt) if message.role == "user"), "")
    answer = row.messages[-1].content if row.answered else ""
    view = {"instruction": asked, "input": "", "output": answer}
    return view | {name: value for name, value in row.as_dict().items() if name not in view}


def feature(values: Iterable[Any]) -> Any:
    """The type of a column that holds these values and None: one that Arrow has, or else JSON, which holds anything.

    >>> feature(["a", None]), feature([1, 2.5]), feature([1, "two"])
    (Value('string'), Value('float64'), Json(decode=True))
    """
    from datasets import Json, List, Value

    plain: dict[Any, str] = {str: "string", bool: "bool", int: "int64", float: "float64"}
    there = [value for value in values if value is not None]
    kinds = set(map(type, there))
    if kinds == {int, float}:
        return Value("float64")
    if len(kinds) != 1:
        return Json()
    kind = type(there[0])
    if kind in plain and (kind is not int or max(map(abs, there)) < 2**63):
        return Value(plain[kind])
    inner = [one for value in there for one in value] if kind in (list, tuple) else []
    if inner and all(isinstance(one, str) for one in inner):
        return List(Value("string"))
    if inner and all(isinstance(one, dict) and set(one) == {"role", "content"} for one in inner):
        return List({"role": Value("string"), "content": Value("string")})
    return Json()
