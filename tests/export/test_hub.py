"""Pushing an export: one commit with export, card and a record that names nobody's sentences, folders or token."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eartune.errors import EartuneError, InputError
from eartune.export import hub as hub_module
from eartune.export.hub import push, require_account
from tests.export.fake_hub import TOKEN, Hub, running_hub
from tests.old_records import PARITY

BASE = {"spec": "/home/someone/t.pt", "kind": "openai", "path": "/home/someone/t.pt", "sha256": "0"}
SPEECH = {"manifests": ["/home/someone/bees.jsonl"]}
RECORD: dict[str, Any] = PARITY | {
    "format": "ggml", "quantization": "q5_0",
    "made_from": PARITY["made_from"] | {
        "model": "/home/someone/runs/bees", "config": {"train": ["/home/someone/bees.jsonl"]}, "base_model": BASE,
        "data": dict.fromkeys(("train", "val"), PARITY["sample"] | SPEECH),
    },
    "sample": PARITY["sample"] | {"manifests": ["/home/someone/val.jsonl"]},
}  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as running:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(hub_module, "HfApi", lambda: __import__("huggingface_hub").HfApi(endpoint=running.endpoint))
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ggml-q5_0"
    folder.mkdir()
    (folder / "ggml-model-q5_0.bin").write_bytes(b"weights")
    (folder / "README.md").write_text("# bees\n")
    (folder / "origin.json").write_text('{"path": "/home/someone"}')
    (folder / "parity.json").write_text(json.dumps(RECORD))
    return folder


def test_everything_goes_up_in_one_commit_and_nothing_private_with_it(hub: Hub, folder: Path) -> None:
    require_account("someone/bees")
    address = push(folder, "someone/bees", public=False)
    assert address.startswith(hub.endpoint)
    assert hub.commits == ["ggml, q5_0, by eartune 0.1.0"]
    assert sorted(hub.files) == ["README.md", "ggml-model-q5_0.bin", "parity.json"]
    assert hub.files["ggml-model-q5_0.bin"] == b"weights"
    everything = b"".join(hub.files.values()).decode()
    for private in ("/home/someone", "the queen is dead", TOKEN):
        assert private not in everything
    assert json.loads(hub.files["parity.json"])["sample"]["manifests"] == ["val.jsonl"]
    [created] = hub.repositories.values()
    assert created["visibility"] == "private"


def test_public_is_asked_for(hub: Hub, folder: Path) -> None:
    push(folder, "someone/bees", public=True)
    [created] = hub.repositories.values()
    assert created["visibility"] == "public"


def test_what_is_pushed_leaves_the_record_on_disk_as_it_was(hub: Hub, folder: Path) -> None:
    push(folder, "someone/bees", public=False)
    assert hub.files["parity.json"] != (folder / "parity.json").read_bytes()
    assert json.loads((folder / "parity.json").read_text()) == RECORD


def test_a_folder_without_a_record_is_not_pushed(hub: Hub, folder: Path) -> None:
    (folder / "parity.json").unlink()
    with pytest.raises(InputError, match=r"ggml-q5_0: has no parity\.json, so it is not an export; export again"):
        push(folder, "someone/bees", public=False)
    assert hub.commits == []


def test_a_refused_token_is_one_line_without_it(hub: Hub) -> None:
    hub.refuses = True
    with pytest.raises(InputError, match=r"--push someone/bees: the hub refused the token \(401\); set the") as refused:
        require_account("someone/bees")
    assert TOKEN not in str(refused.value)


def test_no_token_bad_names_and_no_hub_are_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(hub_module, "get_token", lambda: None)
    with pytest.raises(InputError, match="--push someone/bees: no token; set the environment variable HF_TOKEN"):
        require_account("someone/bees")
    with pytest.raises(InputError, match="--push bees: has no owner; write OWNER/NAME"):
        require_account("bees")
    with pytest.raises(InputError, match="--push a/b/c:"):
        require_account("a/b/c")
    monkeypatch.setattr(hub_module, "get_token", lambda: TOKEN)
    # a port where nobody listens
    monkeypatch.setattr(hub_module, "HfApi", lambda: __import__("huggingface_hub").HfApi(endpoint="http://127.0.0.1:9"))
    with pytest.raises(EartuneError, match="--push someone/bees: the hub cannot be reached"):
        require_account("someone/bees")
