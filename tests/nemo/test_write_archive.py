"""Writing .nemo files: other weights, and everything else byte for byte."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest
import torch

from eartune.errors import InputError
from eartune.families._nemo.archive import WEIGHTS, NemoArchive, read_archive
from eartune.families._nemo.write_archive import write_archive
from tests.tiny_nemo import configuration, members, random_weights, train_sentencepiece, write_members

TIMESTAMPS_MODEL = {"./timestamps_asr_model_weights.ckpt": bytes(range(256)) * 1000, "./timestamps.yaml": b"a: 1\n"}


@pytest.fixture
def original(tmp_path: Path) -> NemoArchive:
    """An archive with a second model in it, as canary-1b-v2 has, and a head that is its embedding."""
    contents = members(configuration("canary", 160), random_weights("canary", 160), train_sentencepiece(canary=True))
    write_members(tmp_path / "original.nemo", contents | TIMESTAMPS_MODEL)
    return read_archive(tmp_path / "original.nemo")


def other_weights(archive: NemoArchive) -> dict[str, torch.Tensor]:
    return {name: value + 1 for name, value in archive.weights().items()}


def test_weights_are_new_and_everything_else_is_as_it_was(original: NemoArchive, tmp_path: Path) -> None:
    out = tmp_path / "folder" / "tuned.nemo"
    weights = other_weights(original)
    write_archive(original, out, weights)
    written = read_archive(out)
    assert list(written.members) == list(original.members)
    for name in original.members:
        if name != WEIGHTS:
            assert written.file(name) == original.file(name), name
    found = written.weights()
    assert list(found) == list(weights)
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    assert [path.name for path in out.parent.iterdir()] == ["tuned.nemo"]
    with tarfile.open(out) as tar:
        assert [member.name for member in tar][:2] == ["./0123456789abcdef_tokenizer.model", "./model_config.yaml"]


def test_the_file_is_no_larger_than_the_original(original: NemoArchive, tmp_path: Path) -> None:
    shared = original.weights()
    wider = {name: torch.cat([value.reshape(-1), value.reshape(-1)])[: value.numel()] for name, value in shared.items()}
    weights = {name: value.view(shared[name].shape) for name, value in wider.items()}
    weights["log_softmax.mlp.layer0.weight"] = weights["transf_decoder._embedding.token_embedding.weight"]
    write_archive(original, tmp_path / "tuned.nemo", weights)
    assert (tmp_path / "tuned.nemo").stat().st_size <= original.path.stat().st_size


def test_an_archive_can_replace_itself_and_a_compressed_one_is_written_plain(
    original: NemoArchive, tmp_path: Path
) -> None:
    weights = other_weights(original)
    contents = {f"./{name}": original.file(name) for name in original.members}
    path = tmp_path / "old.nemo"
    write_members(path, contents, compression="gz")
    write_archive(read_archive(path), path, weights)
    assert torch.equal(
        read_archive(path).weights()["encoder.pre_encode.out.bias"], weights["encoder.pre_encode.out.bias"]
    )
    assert not path.read_bytes().startswith(b"\x1f\x8b")


def broken(weights: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    name = "encoder.pre_encode.out.bias"
    if how == "missing":
        del weights[name]
    elif how == "extra":
        weights["extra.weight"] = torch.zeros(1)
    elif how == "shape":
        weights[name] = torch.zeros(3)
    elif how == "precision":
        weights[name] = weights[name].double()
    elif how == "nan":
        weights[name][0] = float("nan")
    return weights


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "the new weights lack 'encoder.pre_encode.out.bias' (1 in all)"),
        ("extra", "the new weights have more than the archive: 'extra.weight'"),
        ("shape", "'encoder.pre_encode.out.bias' is (3,) in torch.float32, and (16,) in torch.float32"),
        ("precision", "'encoder.pre_encode.out.bias' is (16,) in torch.float64"),
        ("nan", "'encoder.pre_encode.out.bias' was not written correctly, or contains NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_left(
    original: NemoArchive, tmp_path: Path, how: str, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        write_archive(original, tmp_path / "tuned.nemo", broken(other_weights(original), how))
    assert [path.name for path in tmp_path.iterdir()] == ["original.nemo"]
