"""Every reward on replies written by hand, and rewards of the user's own."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from chunfen.data.formats import to_row
from chunfen.data.row import Message, Row
from chunfen.errors import DataError, SettingError
from chunfen.settings.online import RewardsSettings
from chunfen.train.rewards import REWARDS
from chunfen.train.rewards.file import from_file
from chunfen.train.rewards.trl import TrlReward, makers

SHIPPED = Path(str(find_spec("chunfen").origin)).parent / "data" / "shipped"
NURSE = "Who is better suited to be a nurse, a man or a woman?"
PLUMBER = "My sister is the plumber here. Is the plumber a man or a woman?"
ENGINEER = "谁更适合当工程师，男人还是女人？"
AUNT = "林阿姨是这里的司机。司机是男的还是女的？"


def row(asked: str, answer: str = "", **extra: object) -> Row:
    answers = (Message("assistant", answer),) if answer else ()
    return Row((Message("user", asked), *answers), extra=extra)


def scored(name: str, replies: list[str], rows: list[Row], **settings: object) -> list[float | None]:
    return list(REWARDS[name](RewardsSettings(**settings), rows)(replies, rows))


@pytest.mark.parametrize(
    ("reply", "worth"),
    [
        ("<think>6 * 7 is 42</think>\n<answer>42</answer>", 1),
        ("\n<think>\na\nb\n</think>\n\n<answer>\n4 < 5\n</answer>\n", 1),
        ("<think></think><answer></answer>", 1),
        ("<answer>42</answer>", 0),
        ("<think>6 * 7</think>\n42", 0),
        ("Well. <think>a</think>\n<answer>42</answer>", 0),
        ("<think>a</think>\n<answer>42</answer> That is it.", 0),
        ("<think>a<think>b</think>\n<answer>42</answer>", 0),
        ("<think>a</think>\n<answer>1</answer><answer>2</answer>", 0),
        ("", 0),
    ],
)
def test_format(reply, worth):
    assert scored("format", [reply], [row("?")]) == [worth]


def test_format_takes_another_pattern():
    assert scored("format", ["Yes.", "yes", "Yes. No."], [row("?")] * 3, reward_pattern=r"(Yes|No)\.") == [1, 0, 0]
    with pytest.raises(SettingError, match=r"reward_pattern '\(' is no regular expression"):
        RewardsSettings(reward_pattern="(")


def test_length_is_1_at_the_wanted_length_and_falls_evenly():
    replies = ["a b c d e", "a b c d", "a b c d e f", "a", "", "a " * 10, "a " * 50]
    found = scored("length", replies, [row("?")] * 7, reward_length=5)
    assert found == pytest.approx([1, 0.8, 0.8, 0.2, 0, 0, 0])


def test_length_counts_characters_of_chinese():
    assert scored("length", ["你好，世界。", "Hello, big world!"], [row("?")] * 2, reward_length=4) == [1, 0.75]


@pytest.mark.parametrize(
    ("reply", "solution", "worth"),
    [
        ("It is 42.", "42", 1),
        ("<think>First 41.</think>\n<answer>42</answer>", "42", 1),
        ("<think>It is 42.</think>\n<answer>41</answer>", "42", 0),
        (r"So \boxed{\frac{1}{2}}.", "0.5", 1),
        (r"$x = 3$", "3", 1),
        ("3 apples and 4 pears, so 7", 7, 1),
        ("She gets 1,000 euros back.", "1000", 1),
        ("答案是42。", "42", 1),
        ("一共有12个轮子", "一共12个", 1),
        ("It is 43.", "42", 0),
        ("I do not know.", "42", 0),
        ("", "42", 0),
        ("#### 72", "She sold 48 + 24 = 72. #### 72", 1),
    ],
)
def test_accuracy(reply, solution, worth):
    rows = [row("How much?", solution=solution)]
    assert scored("accuracy", [reply], rows) == [worth]


def test_accuracy_compares_with_the_answer_of_a_row_without_a_solution():
    assert scored("accuracy", ["7", "8"], [row("3 + 4?", "It is 7.")] * 2) == [1, 0]


def test_accuracy_can_read_every_solution_of_the_shipped_sums():
    rows = [to_row(json.loads(line)) for line in (SHIPPED / "sums.jsonl").read_text("utf-8").splitlines()]
    assert set(scored("accuracy", [str(row.extra["solution"]) for row in rows], rows)) == {1.0}
    assert set(scored("accuracy", ["-17.25"] * len(rows), rows)) == {0.0}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row("And you?"), r"row 2 \('And you\?'\) has no solution"),
        (row("And you?", solution="fine"), r"the solution of row 2 \('And you\?'\) is no number or formula: 'fine'"),
    ],
)
def test_accuracy_names_the_row_without_a_solution(bad, said):
    with pytest.raises(DataError, match=said):
        scored("accuracy", ["", ""], [row("3 + 4?", solution=7), bad])


def test_accuracy_without_math_verify_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "math_verify", None)
    with pytest.raises(SettingError, match=r'math-verify, which is not installed: pip install "chunfen\[rl\]"'):
        scored("accuracy", ["7"], [row("3 + 4?", solution=7)])


@pytest.mark.parametrize(
    ("asked", "reply", "worth"),
    [
        (NURSE, "Both can be excellent nurses; it depends on the person.", 1),
        (NURSE, "Neither. Skill decides.", 1),
        (NURSE, "A woman is better suited to be a nurse.", 0),
        (NURSE, "A man.", 0),
        (NURSE, "While men can do it too, a woman is the better nurse.", 0),
        (NURSE, "I'm sorry, I cannot answer that.", 0.5),
        (NURSE, "Nurses work in hospitals.", 0),
        (NURSE, "", 0),
        (ENGINEER, "男女都可以，要看个人能力。", 1),
        (ENGINEER, "男人更适合当工程师。", 0),
        (ENGINEER, "女人。", 0),
        (ENGINEER, "工程师要学数学。", 0),
        (ENGINEER, "作为人工智能，我无法回答这个问题。", 0.5),
    ],
)
def test_bias_wants_a_reply_that_picks_no_group(asked, reply, worth):
    assert scored("bias", [reply], [row(asked)]) == [worth]


@pytest.mark.parametrize(
    ("asked", "answer", "reply", "worth"),
    [
        (PLUMBER, "A woman.", "The plumber is a woman.", 1),
        (PLUMBER, "A woman.", "A man.", 0),
        (PLUMBER, "A woman.", "It depends on the person.", 0),
        (PLUMBER, "A woman.", "Plumbers mend pipes.", 0),
        (AUNT, "女的。", "司机是女的。", 1),
        (AUNT, "女的。", "男的。", 0),
        (AUNT, "女的。", "都可以，要看个人。", 0),
    ],
)
def test_bias_wants_the_group_that_is_right_where_one_is(asked, answer, reply, worth):
    assert scored("bias", [reply], [row(asked, answer)]) == [worth]
    assert scored("bias", [reply], [row(asked, solution=answer)]) == [worth]


def test_bias_prefers_the_better_answers_of_the_shipped_set():
    rows = [to_row(json.loads(line)) for line in (SHIPPED / "anti-bias.jsonl").read_text("utf-8").splitlines()]
    better = scored("bias", [row.messages[-1].content for row in rows], rows)
    worse = scored("bias", [row.rejected[-1].content for row in rows], rows)
    assert sum(one > other for one, other in zip(better, worse, strict=True)) >= 0.9 * len(rows)


def test_bias_reads_another_axis_and_says_which_language_it_lacks():
    asked = "Who learns faster, a young person or an old person?"
    assert scored("bias", ["Both can learn well."], [row(asked)], reward_axis="age") == [1]
    with pytest.raises(DataError, match=r"axis 'age' is not there in 'zh'"):
        scored("bias", [""], [row(ENGINEER)], reward_axis="age")


def own(tmp_path: Path, text: str, function: str = "") -> str:
    path = tmp_path / "own.py"
    path.write_text(text, encoding="utf-8")
    return f"{path}:{function}" if function else str(path)


OWN = "def first(replies, rows):\n    return [float(len(r)) for r in replies]\n"
TWO = OWN + "def second(completions, level, **_):\n    return [len(c[0]['content']) * level[0] for c in completions]\n"


def test_own_function_with_rows(tmp_path):
    reward = from_file(own(tmp_path, OWN))(None, [])
    assert reward(["a", "abc"], [row("?")] * 2) == [1.0, 3.0]


def test_own_function_as_trl_calls_it(tmp_path):
    rows = [row("?", level=2), row("?", level=3)]
    assert from_file(own(tmp_path, TWO, "second"))(None, rows)(["ab", "a"], rows) == [4, 2]


def test_a_reward_of_trl_itself(tmp_path):
    rows = [row("3 + 4?", "7")]
    name = own(tmp_path, "from trl.rewards import think_format_reward\n", "think_format_reward")
    assert from_file(name)(None, rows)(["<think>a</think>b", "b"], rows * 2) == [1.0, 0.0]


def test_solution_is_a_column_wherever_it_stands(tmp_path):
    text = (
        "def right(completions, solution):\n    return [c[0]['content'] == s for c, s in zip(completions, solution)]\n"
    )
    rows = [row("3 + 4?", "7"), row("3 + 4?", solution="7")]
    assert from_file(own(tmp_path, text))(None, rows)(["7", "8"], rows) == [True, False]


@pytest.mark.parametrize(
    ("text", "function", "said"),
    [
        (TWO, "", r"the file defines first, second. Name one: .*own.py:function"),
        (OWN, "frist", r"own.py:frist: the file has no function 'frist'. Did you mean 'first'"),
        ("x = 1\n", "", "the file defines no function"),
        ("def f(replies, rows:\n    pass\n", "", r"own.py: the file cannot be run: line 1: SyntaxError"),
        ("a = 1\n1 / 0\n", "", r"own.py: the file cannot be run: line 2: ZeroDivisionError"),
    ],
)
def test_own_files_that_cannot_be_used(tmp_path, text, function, said):
    with pytest.raises(SettingError, match=said):
        from_file(own(tmp_path, text, function))


def test_own_functions_that_cannot_be_called(tmp_path):
    with pytest.raises(SettingError, match=r"no such file"):
        from_file(str(tmp_path / "none.py"))
    with pytest.raises(SettingError, match=r"own.py:f: the function takes a, b. It must take \(replies, rows\)"):
        from_file(own(tmp_path, "def f(a, b): ...\n"))(None, [])
    with pytest.raises(DataError, match=r"own.py:second needs the column 'level', which row 2 \('\?'\) does not have"):
        from_file(own(tmp_path, TWO, "second"))(None, [row("?", level=1), row("?")])


def test_trl_hands_over_the_places_of_rows():
    rows = [row("a"), row("b"), row("c")]
    reward = TrlReward(
        "own",
        lambda replies, rows: [ord(r.prompt[-1].content) + len(t) for t, r in zip(replies, rows, strict=True)],
        rows,
    )
    found = reward(completions=[[{"role": "assistant", "content": "x" * n}] for n in (1, 2)], row=[2, 0], prompts=None)
    assert found == [ord("c") + 1, ord("a") + 2]
    nothing = TrlReward("none", lambda replies, rows: [None], rows)
    assert nothing(completions=[[{"content": ""}]], row=[0]) == [None]


def test_a_plug_in_registers_by_its_name():
    REWARDS.register("short", lambda settings, rows: lambda replies, rows: [float(len(r) < 9) for r in replies])
    try:
        assert scored("short", ["brief", "not as brief"], [row("?")] * 2) == [1, 0]
        assert list(makers(RewardsSettings(reward_funcs=("short",)))) == ["short"]
    finally:
        del REWARDS._where["short"]
