"""Files that are damaged or made to harm: each is used, or refused in one line that names it."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from eartune.cli.main import main
from eartune.config import resolve_config
from eartune.config.train_config import OPTIONS
from eartune.errors import InputError
from eartune.families.registry import family
from eartune.families.whisper import load as whisper
from eartune.families.whisper.onnx.runtime import read_rules
from eartune.manifest import read_manifest
from eartune.manifest.columns import NAMES
from eartune.prepare.split import split_utterances
from eartune.runtimes.faster_whisper import FasterWhisper
from eartune.runtimes.nemo_onnx import open_onnx_folder
from tests.tiny_nemo import (
    TAGS,
    configuration,
    members,
    num_tokens,
    random_weights,
    train_sentencepiece,
    write_members,
)

# of a whole file; None: the file is cut in half
CONTENTS: dict[str, bytes | None] = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "list of objects": b"[{}]",
    "text": b'"text"',
    "number": b"5",
    "object": b"{}",
    "half": None,
    "deep": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "long number": b'{"a": ' + b"9" * 5000 + b"}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NUL": b'{"a": "\0"}',
    "half of a character": b'{"a": "\\ud800"}',
    "binary": bytes(range(256)),
}
MISSING = object()
# of a key
VALUES: dict[str, object] = {
    "missing": MISSING,
    "null": None,
    "list": [],
    "text": "text",
    "mapping": {},
    "huge": 10**30,
    "negative": -1,
    "true": True,
    "list of lists": [[1]],
    "large": 10**9,
    "zero": 0,
    "fraction": 0.5,
    "not a number": float("nan"),
}
FOLDERS = ("whisper", "prompted", "canary")
ARCHIVES = ("prompted", "hybrid", "canary")


def paths_in(document: Any, *, depth: int = 2) -> Iterator[tuple[Any, ...]]:
    """Yield where the values of a document are; of long lists and mappings, the first and last ones."""
    items = list(document.items() if isinstance(document, dict) else enumerate(document))
    for key, value in items if len(items) < 60 else [*items[:2], *items[-2:]]:
        yield (key,)
        if depth > 1 and isinstance(value, dict | list):
            yield from ((key, *inner) for inner in paths_in(value, depth=depth - 1))


def changed(document: Any, path: tuple[Any, ...], value: object) -> Any:
    """Return a document with another value at a place."""
    document = copy.deepcopy(document)
    at = document
    for part in path[:-1]:
        at = at[part]
    if value is MISSING:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def changes_of(document: Any, *, each: int) -> Iterator[tuple[str, Any]]:
    """Yield documents with one other value, `each` of them for each place; all kinds of values take turns."""
    kinds = list(VALUES)
    for number, path in enumerate(paths_in(document)):
        for turn in range(each):
            kind = kinds[(each * number + turn) % len(kinds)]
            yield f"{'.'.join(map(str, path))} {kind}", changed(document, path, VALUES[kind])


def told_wrong(name: str, use: Callable[[], object]) -> str | None:
    """Return what is wrong with how a use fails; None: it succeeds, or says in one line that begins with the file."""
    try:
        use()
    except InputError as error:
        return None if name in str(error) and "\n" not in str(error) else f"is told as {error}"
    except BaseException as error:
        return f"ends in {type(error).__name__}: {error}"
    return None


def wrong_with_contents(path: Path, use: Callable[[], object]) -> dict[str, str]:
    """Return what is wrong with how a use fails, by the content that a file has in its place."""
    whole = path.read_bytes()
    wrong = {}
    try:
        for what, content in CONTENTS.items():
            path.write_bytes(whole[: len(whole) // 2] if content is None else content)
            wrong[what] = told_wrong(path.name, use)
    finally:
        path.write_bytes(whole)
    return {what: told for what, told in wrong.items() if told}


def wrong_with_values(path: Path, use: Callable[[], object], *, each: int) -> dict[str, str]:
    """Return what is wrong with how a use fails, by the value that a key of a JSON file has, `each` of them."""
    whole = path.read_text(encoding="utf-8")
    wrong = {}
    try:
        for what, document in changes_of(json.loads(whole), each=each):
            path.write_text(json.dumps(document), encoding="utf-8")
            wrong[what] = told_wrong(path.name, use)
    finally:
        path.write_text(whole, encoding="utf-8")
    return {what: told for what, told in wrong.items() if told}


@pytest.fixture(scope="module")
def folders(
    tiny_model: Path, tiny_nemo: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Model folders by kind, and what loads them."""
    found = {}
    for kind in FOLDERS:
        module = family(kind if kind in ("whisper", "canary") else "parakeet")
        source = tiny_model if kind == "whisper" else tiny_nemo[kind]
        folder = tmp_path_factory.mktemp(kind) / "model"
        module.load(module.find(str(source))).save(folder)
        found[kind] = (folder, lambda module=module, folder=folder: module.load(module.find(str(folder))))
    return found


@pytest.fixture(scope="module")
def whisper_tokenizer(folders: dict[str, tuple[Path, Callable[[], object]]]) -> object:
    return whisper.read_tokenizer(folders["whisper"][0])


SETTINGS = ("config.json", "generation_config.json", "preprocessor_config.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
MORE = {
    "whisper": ("vocab.json",),
    "prompted": ("processor_config.json",),
    "canary": ("processor_config.json",),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in FOLDERS for name in (*SETTINGS, *TOKENIZER, *MORE[kind])]
)
def test_a_broken_file_of_a_model_folder_is_named(
    kind: str,
    name: str,
    folders: dict[str, tuple[Path, Callable[[], object]]],
    whisper_tokenizer: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name in SETTINGS:
        # reading it takes a second
        monkeypatch.setattr(whisper, "read_tokenizer", lambda _folder: whisper_tokenizer)
    folder, load = folders[kind]
    assert not wrong_with_contents(folder / name, load)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_broken_value_in_a_model_folder_is_told_with_its_file(
    kind: str,
    name: str,
    folders: dict[str, tuple[Path, Callable[[], object]]],
    whisper_tokenizer: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whisper, "read_tokenizer", lambda _folder: whisper_tokenizer)
    folder, load = folders[kind]
    assert not wrong_with_values(folder / name, load, each=1)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_broken_value_in_an_archive_is_told_with_its_file(kind: str, tmp_path: Path) -> None:
    module = family("canary" if kind == "canary" else "parakeet")
    tokenizer = train_sentencepiece(canary=kind == "canary", whole=TAGS if kind == "prompted" else ())
    config = configuration(kind, num_tokens(tokenizer))
    whole = members(config, random_weights(kind, num_tokens(tokenizer)), tokenizer)
    path = tmp_path / "model.nemo"
    wrong = {}
    for what, document in changes_of(config, each=1):
        write_members(path, whole | {"./model_config.yaml": yaml.safe_dump(document, sort_keys=False).encode()})
        wrong[what] = told_wrong(str(path), lambda: module.load(module.find(str(path))))
    assert not {what: told for what, told in wrong.items() if told}


@pytest.mark.parametrize("name", [*(names[0] for names in NAMES.values()), "start", "end", "duration", "offset_ms"])
def test_an_odd_value_in_a_manifest_is_read_or_told_with_its_row(name: str, tiny_speech: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in tiny_speech.read_text(encoding="utf-8").splitlines()]
    path = tmp_path / "odd.jsonl"
    wrong = {}
    for what, value in VALUES.items():
        odd = rows[0] | {"audio_filepath": str(tiny_speech.parent / rows[0]["audio_filepath"])}
        path.write_text(json.dumps(odd | ({} if value is MISSING else {name: value})), encoding="utf-8")
        wrong[what] = findings_wrong("odd.jsonl", lambda: split_utterances(read_manifest([path]).utterances))
    assert not {what: told for what, told in wrong.items() if told}


def findings_wrong(name: str, use: Callable[[], object]) -> str | None:
    """Return what is wrong with how a use fails; findings come together, one in each line."""
    try:
        use()
    except InputError as error:
        return None if name in str(error) else f"is told as {error}"
    except BaseException as error:
        return f"ends in {type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
@pytest.mark.parametrize("what", CONTENTS)
def test_a_broken_configuration_is_named(what: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"train{suffix}"
    path.write_bytes(CONTENTS[what] or b'{"train": "a.jso')
    assert findings_wrong(path.name, lambda: resolve_config(files=[path], complete=False)) is None


def test_an_odd_value_in_a_configuration_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    kinds = [kind for kind in VALUES if kind != "missing"]
    wrong = {}
    for number, option in enumerate(OPTIONS):
        for turn in range(3):
            kind = kinds[(3 * number + turn) % len(kinds)]
            path.write_text(json.dumps({option.name: VALUES[kind]}), encoding="utf-8")
            use = partial(resolve_config, files=[path], complete=False)
            wrong[f"{option.name} {kind}"] = findings_wrong(option.name, use)
    assert not {what: told for what, told in wrong.items() if told}


WHISPER_CONFIG = {"max_target_positions": 448, "vocab_size": 9}
WHISPER_GENERATION = {
    "is_multilingual": True, "lang_to_id": {"<|en|>": 5}, "task_to_id": {"transcribe": 6, "translate": 7},
    "decoder_start_token_id": 4, "no_timestamps_token_id": 8, "eos_token_id": 3, "max_initial_timestamp_index": 50,
    "suppress_tokens": [1], "begin_suppress_tokens": [2, 3],
}  # fmt: skip
CTRANSLATE2 = {
    "config.json": {"alignment_heads": [[1, 0]], "lang_ids": [1], "suppress_ids": [2], "suppress_ids_begin": [2]},
    "preprocessor_config.json": {"feature_size": 80, "sampling_rate": 16000, "hop_length": 160, "n_fft": 400},
    "vocabulary.json": ["a", "<|en|>", "c"],
    "tokenizer.json": {"model": {}},
}


@pytest.mark.parametrize("name", sorted(CTRANSLATE2))
def test_a_broken_folder_of_ctranslate2_is_refused_before_it_is_opened(name: str, tmp_path: Path) -> None:
    """Its C++ ends the process over some of them."""
    (tmp_path / "model.bin").write_bytes(b"no weights")
    for other, document in CTRANSLATE2.items():
        (tmp_path / other).write_text(json.dumps(document), encoding="utf-8")
    document, path = CTRANSLATE2[name], tmp_path / name
    refused = [partial(path.write_bytes, content) for what, content in CONTENTS.items() if content is not None]
    refused += [
        partial(path.write_text, json.dumps(changed(document, place, value)))
        for place in paths_in(document)
        for kind, value in VALUES.items()
        if kind in ("null", "mapping", "huge", "negative", "true", "list of lists")
    ]
    for write in refused:
        write()
        with pytest.raises(InputError) as caught:
            FasterWhisper(tmp_path)
        told = str(caught.value)
        assert "\n" not in told
        # what is no fault of these files is found when they are opened
        assert name in told or "faster-whisper cannot open it" in told, told


def test_a_token_beyond_the_vocabulary_of_ctranslate2_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no weights")
    for name, document in CTRANSLATE2.items():
        (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
    settings = CTRANSLATE2["config.json"] | {"suppress_ids_begin": [2, 999_999]}  # type: ignore[operator]
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.json: suppress_ids_begin names token 999999, and the network has 3"):
        FasterWhisper(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_broken_settings_of_a_whisper_in_onnx_are_named(name: str, tmp_path: Path) -> None:
    documents = {"config.json": WHISPER_CONFIG, "generation_config.json": WHISPER_GENERATION}
    for other, document in documents.items():
        (tmp_path / other).write_text(json.dumps(document), encoding="utf-8")
    read_rules(tmp_path, "transcribe")
    wrong = {}
    for what, document in changes_of(documents[name], each=len(VALUES)):
        (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
        wrong[what] = told_wrong(name, lambda: read_rules(tmp_path, "transcribe"))
    for what, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content or b'{"a')
        wrong[what] = told_wrong(name, lambda: read_rules(tmp_path, "transcribe"))
    assert not {what: told for what, told in wrong.items() if told}


NEMO_ONNX = {"model_type": "nemo-conformer-aed", "features_size": 80, "subsampling_factor": 8}


def test_broken_settings_of_a_canary_in_onnx_are_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    (tmp_path / "tokens.txt").write_text("<|en|> 0\n")
    documents = [json.dumps(document).encode() for _, document in changes_of(NEMO_ONNX, each=len(VALUES))]
    for content in (*documents, *filter(None, CONTENTS.values())):
        path.write_bytes(content)
        assert told_wrong("config.json", lambda: open_onnx_folder(tmp_path, task="transcribe")) is None


@pytest.mark.parametrize("tokens", ["missing", "a folder", "a dangling link"])
def test_a_canary_in_onnx_without_its_tokens_is_refused(tokens: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(NEMO_ONNX))
    if tokens == "a folder":
        (tmp_path / "tokens.txt").mkdir()
    elif tokens == "a dangling link":
        (tmp_path / "tokens.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no tokens\.txt, which a model with languages needs"):
        open_onnx_folder(tmp_path, task="transcribe")


COMMANDS = {
    "evaluate": ("--data", "SPEECH"),
    "merge": ("--out", "OUT"),
    "transcribe": ("SPEECH",),
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_broken_model_is_one_line_and_exit_code_2_of_every_command(
    verb: str,
    folders: dict[str, tuple[Path, Callable[[], object]]],
    tiny_speech: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(folders["canary"][0], tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["encoder_config"]["dropout"] = 5
    (folder / "config.json").write_text(json.dumps(config))
    words = [{"SPEECH": str(tiny_speech), "OUT": str(tmp_path / "out")}.get(word, word) for word in COMMANDS[verb]]
    code, told = main([verb, str(folder), *words]), capsys.readouterr().err.splitlines()
    assert code == 2, told
    assert len([line for line in told if line.startswith("error: ")]) == 1
