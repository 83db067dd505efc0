"""Finding base models: folders that are none, hubs that do not answer; always one line that says what to do."""

import hashlib
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import errors

from eartune import base_model
from eartune.base_model import BaseModel, find_base_model
from eartune.errors import EartuneError, InputError
from eartune.families.whisper.load import find, load
from eartune.family import family_named

SECRET = "hf_thisIsASecretToken"


def look_for(spec: str, **options: str | None) -> BaseModel:
    return find_base_model(spec, family_named("whisper"), **options)  # type: ignore[arg-type]


def answer(status: int) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers={}, request=None)


HUB_FAILURES = {
    "offline": (errors.LocalEntryNotFoundError("x"), EartuneError, "the hub cannot be reached"),
    "forced offline": (errors.OfflineModeIsEnabled("x"), EartuneError, "HF_HUB_OFFLINE is set"),
    "gated": (errors.GatedRepoError("x", response=answer(403)), InputError, "access is gated; accept its terms"),
    "missing": (errors.RepositoryNotFoundError("x", response=answer(404)), InputError, "no such model, or it is"),
    "revision": (errors.RevisionNotFoundError("x", response=answer(404)), InputError, "has no revision 'v9'"),
    "token": (errors.HfHubHTTPError("x", response=answer(401)), InputError, "the hub refused the token"),
    "down": (errors.HfHubHTTPError("x", response=answer(503)), EartuneError, "the hub answered 503"),
    "disk": (OSError(28, "No space left on device"), EartuneError, "No space left on device"),
}


@pytest.mark.parametrize("name", HUB_FAILURES)
def test_hub_failures_are_one_clear_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raised, kind, message = HUB_FAILURES[name]
    monkeypatch.setenv("HF_TOKEN", SECRET)

    def fail(*_: object, **__: object) -> str:
        raise raised

    monkeypatch.setattr(base_model, "snapshot_download", fail)
    with pytest.raises(kind) as refused:
        look_for("openai/whisper-small", revision="v9")
    told = str(refused.value)
    assert told.startswith("openai/whisper-small (hub): ")
    assert message in told
    assert "\n" not in told
    assert SECRET not in told


def test_the_owner_may_be_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def snapshot(repo_id: str, **_: object) -> str:
        asked.append(repo_id)
        return str(whisper_folder(tmp_path))

    monkeypatch.setattr(base_model, "snapshot_download", snapshot)
    assert look_for("whisper-small").spec == "openai/whisper-small"
    assert look_for("someone/whisper-x").spec == "someone/whisper-x"
    assert asked == ["openai/whisper-small", "someone/whisper-x"]


def whisper_folder(folder: Path, *, model_type: str = "whisper", weights: str | None = "model.safetensors") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    if weights:
        (folder / weights).write_bytes(b"weights")
    return folder


def test_folders_that_are_no_whisper_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    adapter = whisper_folder(tmp_path / "adapter")
    (adapter / "adapter_config.json").write_text("{}")
    (tmp_path / "run" / "best").mkdir(parents=True)
    cases = {
        tmp_path / "run": "is a run, not a model; merge it first",
        tmp_path / "empty": "has no config.json",
        tmp_path / "broken": r"config\.json:1:2: is not valid JSON: .*; copy the model's own",
        whisper_folder(tmp_path / "bert", model_type="bert"): "model_type is 'bert', expected 'whisper'",
        whisper_folder(tmp_path / "bare", weights=None): "has no weights",
        adapter: "holds an adapter, not a whole model; merge it first",
    }
    for folder, message in cases.items():
        with pytest.raises(InputError, match=message):
            look_for(str(folder))


def test_a_hash_over_all_weights(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "m", weights="model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"one")
    before = look_for(str(folder)).sha256
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"two")
    assert look_for(str(folder)).sha256 != before


@pytest.mark.parametrize("spec", ["./gone", "gone.pt", "/gone", "a/b/c", "C:\\models\\x", "gone.nemo", "~/gone"])
def test_what_looks_like_a_path_is_not_looked_for_on_the_hub(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_model, "snapshot_download", None)
    with pytest.raises(InputError, match="no such file or folder"):
        look_for(spec)


def test_a_folder_with_damaged_weights_is_one_clear_line(tiny_model: Path, tmp_path: Path) -> None:
    load(find(str(tiny_model))).save(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"model\.safetensors: is damaged") as refused:
        load(find(str(tmp_path / "model")))
    assert "\n" not in str(refused.value)


def test_a_folder_with_pickled_weights_and_an_old_generation_config_loads(tiny_model: Path, tmp_path: Path) -> None:
    """As old fine-tuned models are on the hub: pytorch_model.bin, forced_decoder_ids, no language table."""
    import torch  # noqa: PLC0415

    model = load(find(str(tiny_model)))
    model.save(tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").unlink()
    torch.save(model.network.state_dict(), tmp_path / "old" / "pytorch_model.bin")
    (tmp_path / "old" / "generation_config.json").write_text(
        json.dumps({"max_length": 448, "forced_decoder_ids": [[1, 50259], [2, 50359]], "eos_token_id": 50257})
    )
    old = load(find(str(tmp_path / "old")), language="de")
    assert old.network.generation_config.lang_to_id["<|de|>"] == 50261
    assert old.network.generation_config.forced_decoder_ids is None


def find_nemo(spec: Path) -> BaseModel:
    return find_base_model(str(spec), family_named("canary"))


def unpacked(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model_config.yaml").write_text("target: x")
    (folder / "model_weights.ckpt").write_bytes(b"weights")
    return folder


def test_a_folder_that_a_nemo_file_was_unpacked_into_is_the_model(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "model")
    found = find_nemo(folder)
    assert (found.kind, found.path, found.sha256) == ("nemo", folder, hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(InputError, match=r"holds a \.nemo model, expected a whisper"):
        look_for(str(folder))
    (folder / "model_weights.ckpt").unlink()
    with pytest.raises(InputError, match=r"an unpacked \.nemo model without its model_weights\.ckpt; .*tar xf"):
        find_nemo(folder)


def test_a_folder_with_one_nemo_file_is_that_model_and_with_several_none(tmp_path: Path) -> None:
    (tmp_path / "a.nemo").write_bytes(b"a")
    (tmp_path / "README.md").write_text("a model")
    assert find_nemo(tmp_path).path == tmp_path / "a.nemo"
    with pytest.raises(InputError, match=r"holds a \.nemo model"):
        look_for(str(tmp_path))
    (tmp_path / "b.nemo").write_bytes(b"b")
    with pytest.raises(InputError, match=r"holds a\.nemo, b\.nemo; give one of these files"):
        find_nemo(tmp_path)
    # a run may have been exported into its own folder
    (tmp_path / "best").mkdir()
    with pytest.raises(InputError, match="is a run, not a model"):
        find_nemo(tmp_path)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz"])
def test_a_nemo_file_under_another_name_is_told(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"model{suffix}"
    with tarfile.open(file, "w" if suffix == ".tar" else "w:gz") as tar:
        tar.add(unpacked(tmp_path / "model"), arcname=".")
    with pytest.raises(InputError, match=r"is a \.nemo file under another name: rename it to model\.nemo"):
        find_nemo(file)
    with tarfile.open(file, "w") as tar:
        tar.add(tmp_path / "model" / "model_config.yaml", arcname="v1/parakeet.nemo")
    with pytest.raises(InputError, match=r"is a tar of v1/parakeet\.nemo: unpack it"):
        find_nemo(file)
    file.write_bytes(b"no tar")
    with pytest.raises(InputError, match=r"is a file, but not a \.nemo; give"):
        find_nemo(file)


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(InputError, match=r"config\.json: is a link to a file that is not there"):
        find_base_model(str(tmp_path), family_named("whisper"))
