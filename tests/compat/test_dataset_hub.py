"""The article's lines of Python, run as they are, in a process that has nothing but the package `swift`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.conftest import Python, python
from hub.servers import Repository, serving

from .lines import ALPACA

__all__ = ["python"]

BUILT_IN = """
from swift import DatasetHub
hub = DatasetHub("alpaca-en"); train = hub["alpaca-en"]
"""
REGISTERED = """
from datasets import load_dataset
DatasetHub.register(
    name="my_sft_data",
    dataset_fn=lambda: load_dataset("json", data_files="data/sft.jsonl"),
    task_type="sft"
)
"""
SHOWN = """
import json, pathlib
pathlib.Path("data").mkdir()
pathlib.Path("data/sft.jsonl").write_text('{"instruction": "Add.", "input": "1 and 2", "output": "3"}\\n')
mine = DatasetHub("my_sft_data", streaming=True)["my_sft_data"]
fields = ["instruction", "input", "output"]
print(json.dumps([[[row[field] for field in fields] for row in rows] for rows in (train, mine)]))
"""


@pytest.mark.slow
def test_the_lines_of_the_dataset_hub(python: Python, tmp_path: Path) -> None:
    rows = json.dumps(ALPACA).encode()
    with serving(Repository("vicgalle/alpaca-gpt4", {"train.json": rows}, kind="datasets")) as address:
        move = f"import os; os.chdir({str(tmp_path)!r})\n"
        done = python(move + BUILT_IN + REGISTERED + SHOWN, address=address)
    assert done.returncode == 0, done.stderr
    train, mine = json.loads(done.stdout)
    assert train == [
        ["who is a nurse ?", "", "a woman is a nurse ."],
        ["hello\nwho is a man ?", "", "a man is a man ."],
    ]
    assert mine == [["Add.\n1 and 2", "", "3"]]
