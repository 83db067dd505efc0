"""JSON and YAML from outside: whatever they hold, a value of the declared type or an InputError of one line."""

import ast
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import eartune
from eartune.errors import InputError
from eartune.parsing import (
    JsonObject,
    parse_json,
    parse_json_pairs,
    parse_option,
    parse_yaml,
    parse_yaml_pairs,
    read_json,
)

PACKAGE = Path(eartune.__file__).parent

Plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


class Model(BaseModel):
    """A shape for these tests."""

    layers: int
    name: str = ""
    inner: list[float] = []


@given(Plain)
def test_what_json_writes_is_read_again(value: Any) -> None:
    assert parse_json(json.dumps(value), object, where="x") == value


@given(Plain)
def test_what_yaml_writes_is_read_again(value: Any) -> None:
    assert parse_yaml(yaml.safe_dump(value), object, where="x") == value


BROKEN_JSON = [
    ("", r"x\.json:1:1: is not valid JSON: expecting value"),
    ('{"a":\n 1,}', r"x\.json:2:4: is not valid JSON: expecting property name"),
    ("[" * 100_000, r"x\.json:1: is nested more than 64 deep"),
    ('{"a":\n' * 70 + "1" + "}" * 70, r"x\.json:65: is nested more than 64 deep"),
    ("9" * 5000, r"x\.json: holds a number of more than 1000 digits"),
    ('"\\ud800"', r"x\.json: .* holds half of a character \(a lone surrogate\)"),
    ('"\0"', r"x\.json:1:2: is not valid JSON: invalid control character"),
    ("{}{}", r"x\.json:1:3: is not valid JSON: extra data"),
]
# a document that begins in line 7 of a file
BROKEN_PART = [
    ('{"a":\n 1,}', r"x\.jsonl:8:4: is not valid JSON"),
    ("[" * 70 + "]" * 70, r"x\.jsonl:7: is nested more than 64 deep"),
    ('"\\ud800"', r"x\.jsonl:7: .* holds half of a character"),
    ("9" * 5000, r"x\.jsonl:7: holds a number"),
    ("[]", r"x\.jsonl:7: is a list, and should be a valid mapping"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN_JSON, ids=range(len(BROKEN_JSON)))
def test_broken_json_is_an_error_of_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as raised:
        parse_json(text, object, where="x.json")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "message"), BROKEN_PART, ids=range(len(BROKEN_PART)))
def test_broken_json_within_a_file_is_an_error_with_the_line_of_the_file(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        parse_json(text, JsonObject, where="x.jsonl", line=7)


def test_brackets_within_texts_are_not_nested() -> None:
    assert parse_json(json.dumps(["[" * 100]), object, where="x") == ["[" * 100]
    assert parse_json("[" * 64 + "]" * 64, list[Any], where="x")


def test_halves_of_characters_pass_where_the_caller_looks_for_them() -> None:
    assert parse_json('["\\ud800"]', list[str], where="x", lone_surrogates=True) == ["\ud800"]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
BROKEN_YAML = [
    ("a: [1", r"x\.yaml:\d:\d: is not valid YAML: did not find expected"),
    ("a: *b", r"x\.yaml:1:4: is not valid YAML: found undefined alias"),
    ("a: &a [*a]", r"x\.yaml:1: \*a stands for itself"),
    (BOMB, r"x\.yaml:\d: holds more than 300000 values"),
    ("[" * 100, r"x\.yaml:1: is nested more than 64 deep"),
    ("a: 1" + ":1" * 2000, r"x\.yaml:1: holds a number of 4001 characters"),
    ("a: " + "9" * 5000, r"x\.yaml:1: holds a number of 5000 characters"),
    ("a: !!int banana", r"x\.yaml:1:4: is not valid YAML: 'banana' is not a value of the type int"),
    ("a: 1\nb: 2024-13-01", r"x\.yaml:2:4: is not valid YAML: '2024-13-01' is not a value of the type timestamp"),
    ("a: !!timestamp x", r"x\.yaml:1:4: is not valid YAML: 'x' is not a value of the type timestamp"),
    ("a: !!bool x", r"x\.yaml:1:4: is not valid YAML: 'x' is not a value of the type bool"),
    ("a: !!float x", r"x\.yaml:1:4: is not valid YAML: 'x' is not a value of the type float"),
    ("a: !!python/object/apply:os.system [ls]", r"x\.yaml:1:4: is not valid YAML: could not determine a constructor"),
    ("a: \0", r"x\.yaml: is not valid YAML: character U\+0000 is not allowed"),
    ("a: \x01", r"x\.yaml: is not valid YAML: character U\+0001 is not allowed"),
    ("a: \ud800", r"x\.yaml: .* holds half of a character"),
    ('a: "\\ud800"', r"x\.yaml:1:\d: is not valid YAML: (found invalid Unicode character escape|.*surrogate)"),
    ("a: {[b]: c, ? {d: e} : f}", r"x\.yaml:1:\d+: is not valid YAML: found unhashable key"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN_YAML, ids=range(len(BROKEN_YAML)))
def test_broken_yaml_is_an_error_of_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as raised:
        parse_yaml(text, JsonObject, where="x.yaml")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", [text for text, _ in BROKEN_YAML], ids=range(len(BROKEN_YAML)))
def test_broken_yaml_on_the_command_line_is_text(text: str) -> None:
    assert parse_option(text) == text


def error_of(parse: Callable[[], object]) -> str:
    try:
        parse()
    except InputError as error:
        return str(error)
    return ""


@given(st.text())
def test_any_text_is_a_value_or_an_error_of_one_line(text: str) -> None:
    for parse in (parse_json, parse_yaml):
        assert "\n" not in error_of(partial(parse, text, object, where="x"))


@given(st.binary())
def test_any_bytes_are_a_value_or_an_error_of_one_line(content: bytes) -> None:
    for parse in (parse_json, parse_yaml):
        assert "\n" not in error_of(partial(parse, content, object, where="x"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "x: is a list, and should be a valid mapping"),
        (None, "x: is None, and should be a valid mapping"),
        ({}, "x: has no layers"),
        ({"layers": "4"}, "x: layers is '4', and should be a valid integer"),
        ({"layers": True}, "x: layers is True, and should be a valid integer"),
        ({"layers": 1, "name": ["a"]}, "x: name is a list, and should be a valid string"),
        ({"layers": 1, "inner": [1.5, "x"]}, "x: inner[1] is 'x', and should be a valid number"),
    ],
)
def test_another_shape_is_an_error_that_names_the_key(value: object, message: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_json(json.dumps(value), Model, where="x", advice="save it again")
    assert str(raised.value) == f"{message}; save it again"


def test_a_value_of_the_shape_is_one_of_that_type() -> None:
    found = parse_json('{"layers": 4, "inner": [1, 2.5], "other": 1}', Model, where="x")
    assert found == Model(layers=4, inner=[1.0, 2.5])


def test_keys_that_occur_twice_are_refused_or_given_with_their_lines() -> None:
    with pytest.raises(InputError, match="x: has 'a' twice"):
        parse_json('{"a": 1, "a": 2}', JsonObject, where="x", unique_keys=True)
    assert parse_json_pairs('{"a": 1,\n "b": [{"c": 2}]}', where="x") == [("a", 1, 1), ("b", [{"c": 2}], 2)]
    assert parse_yaml_pairs("a: 1\nb: {c: no}\na: 3", where="x") == [("a", 1, 1), ("b", {"c": "no"}, 2), ("a", 3, 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("folder", "is a folder"),
        ('{"a": 1}'.encode("utf-16"), "1: is UTF-16; save it as UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "1: is UTF-16; save it as UTF-8"),
        (b'{\n"a": "\xff"}', r"2: is not UTF-8 \(byte 8\); save it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes | str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(InputError, match=f"^{path}: ?{message}"):
        read_json(path, JsonObject)


def test_a_byte_order_mark_is_no_part_of_a_document(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(tmp_path / "x.json", JsonObject) == {"a": 1}


# processes of our own that exchange messages with us, and start faster without pydantic
OWN_MESSAGES = {"runtimes/worker_loop.py", "runtimes/sherpa_onnx_worker.py"}
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "parsing"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_else_reads_json_or_yaml(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {"yaml", "tomllib"} & names, "eartune.parsing reads and writes YAML"
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "json"
    }
    if path.relative_to(PACKAGE).as_posix() not in OWN_MESSAGES:
        assert used <= {"dumps", "dump"}, "eartune.parsing reads JSON"
