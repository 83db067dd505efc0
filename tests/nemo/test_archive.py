"""Reading .nemo files: what NeMo writes, old and new, and what was made to harm."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from eartune.errors import InputError
from eartune.families._nemo.archive import MAX_CONFIG_BYTES, read_archive
from eartune.families._nemo.archive_members import MAX_FILE_BYTES, MAX_MEMBERS
from eartune.families._nemo.settings import BOUNDS
from eartune.families._nemo.write_archive import write_archive
from tests.tiny_nemo import TOKENIZER, configuration, members, random_weights, train_sentencepiece, write_members

Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def contents() -> Contents:
    """What a small CTC model's archive holds."""
    return members(configuration("ctc", 160), random_weights("ctc", 160), train_sentencepiece())


def changed(contents: Contents, **changes: bytes | None) -> Contents:
    """Replace members, by the beginning of their names, or leave them out."""
    result = dict(contents)
    for name in contents:
        for start, content in changes.items():
            if name.startswith(f"./{start}"):
                result.pop(name)
                if content is not None:
                    result[name] = content
    return result


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
@pytest.mark.parametrize("prefix", ["./", ""])
def test_configuration_tokenizer_and_weights_are_read(
    tmp_path: Path, contents: Contents, compression: str, prefix: str
) -> None:
    path = tmp_path / "model.nemo"
    write_members(
        path, {name.replace("./", prefix): value for name, value in contents.items()}, compression=compression
    )
    archive = read_archive(path)
    assert archive.config["encoder"]["n_layers"] == 2
    assert archive.file(f"nemo:{TOKENIZER}") == archive.file(TOKENIZER) == train_sentencepiece()
    assert list(archive.members) == [TOKENIZER, "model_config.yaml", "model_weights.ckpt"]
    expected = random_weights("ctc", 160)
    weights = archive.weights()
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


@pytest.mark.parametrize("kind", ["parakeet-ctc", "parakeet-rnnt", "parakeet-tdt", "parakeet-hybrid", "canary"])
@pytest.mark.real_speech
def test_archives_of_nemo_are_read(shared_dir: Path, kind: str) -> None:
    archive = read_archive(shared_dir / "models" / "nemo-tiny" / f"{kind}.nemo")
    assert archive.file(archive.config["tokenizer"]["model_path"])
    assert "encoder.pre_encode.out.weight" in archive.weights()


def test_a_folder_that_an_archive_was_unpacked_into_is_read_as_the_archive(tmp_path: Path, contents: Contents) -> None:
    write_members(tmp_path / "model.nemo", contents)
    folder = tmp_path / "model"
    with tarfile.open(tmp_path / "model.nemo") as tar:
        tar.extractall(folder, filter="data")
    # what NeMo does not pack
    (folder / ".DS_Store").write_bytes(b"finder")
    (folder / "results").mkdir()
    found, expected = read_archive(folder), read_archive(tmp_path / "model.nemo")
    assert found.config == expected.config
    assert found.members.keys() == expected.members.keys()
    assert found.file(f"nemo:{TOKENIZER}") == expected.file(TOKENIZER)
    assert all(torch.equal(found.weights()[name], value) for name, value in expected.weights().items())
    (folder / "model_weights.ckpt").unlink()
    with pytest.raises(InputError, match=r"it has no model_weights\.ckpt .*tar xf MODEL\.nemo -C"):
        read_archive(folder)
    with pytest.raises(InputError, match=r"has no file '\.\./model\.nemo'"):
        found.file("nemo:../model.nemo")


def test_a_file_is_read_once_under_any_path_while_it_stays_the_same(
    tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.nemo"
    write_members(path, contents)
    monkeypatch.chdir(tmp_path)
    archive = read_archive(path)
    assert read_archive(path) == archive
    path.rename(tmp_path / "moved.nemo")
    moved = read_archive("moved.nemo")
    assert moved.config is archive.config
    assert moved.path == Path("moved.nemo")
    assert moved.file(TOKENIZER) == train_sentencepiece()
    write_members(path, changed(contents, model_config=b"other: true\n"))
    assert read_archive(path).config == {"other": True}
    shutil.copy(path, "moved.nemo")
    assert read_archive("moved.nemo").config == {"other": True}


def test_a_folder_is_read_again_when_one_of_its_files_has_changed(tmp_path: Path, contents: Contents) -> None:
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    archive = read_archive(tmp_path)
    assert read_archive(tmp_path).config is archive.config
    (tmp_path / "model_config.yaml").write_bytes(b"other: true\n")
    assert read_archive(tmp_path).config == {"other": True}


def test_members_are_not_read_from_a_file_that_has_changed_since(tmp_path: Path, contents: Contents) -> None:
    path = tmp_path / "model.nemo"
    write_members(path, contents)
    archive = read_archive(path)
    write_members(path, changed(contents, model_config=b"other: true\n"))
    with pytest.raises(InputError, match=r"model\.nemo: has changed since it was opened; repeat the command$"):
        archive.weights()


def test_members_are_read_side_by_side(tmp_path: Path, contents: Contents) -> None:
    path = tmp_path / "model.nemo"
    write_members(path, contents, compression="gz")
    archive = read_archive(path)
    with archive.open_member(TOKENIZER) as one, archive.open_member("model_config.yaml") as other:
        begun = one.read(100)
        assert other.read() == contents["./model_config.yaml"]
        assert begun + one.read() == contents[f"./{TOKENIZER}"]
        assert one.seek(-3, io.SEEK_END) == len(contents[f"./{TOKENIZER}"]) - 3
        assert one.read() == contents[f"./{TOKENIZER}"][-3:]


def test_an_archive_packed_with_its_folder_is_written_with_the_files_at_the_top(
    tmp_path: Path, contents: Contents
) -> None:
    path = tmp_path / "model.nemo"
    write_members(path, {name.replace("./", "model/"): value for name, value in contents.items()})
    archive = read_archive(path)
    assert list(archive.members) == [TOKENIZER, "model_config.yaml", "model_weights.ckpt"]
    assert archive.file(TOKENIZER) == train_sentencepiece()
    write_archive(archive, tmp_path / "new.nemo", archive.weights())
    with tarfile.open(tmp_path / "new.nemo") as tar:
        assert tar.getnames() == [TOKENIZER, "model_config.yaml", "model_weights.ckpt"]


def test_an_archive_within_a_tar_is_named(tmp_path: Path) -> None:
    write_members(tmp_path / "download.nemo", {"v1/parakeet.nemo": b""})
    with pytest.raises(InputError, match=r"a tar that contains one: unpack it, and give v1/parakeet\.nemo"):
        read_archive(tmp_path / "download.nemo")


def test_a_file_that_is_not_in_the_archive_is_named_with_what_is(tmp_path: Path, contents: Contents) -> None:
    write_members(tmp_path / "model.nemo", contents)
    with pytest.raises(InputError, match=r"model.nemo: has no file 'other' \(it has 0123456789abcdef_tokenizer.model"):
        read_archive(tmp_path / "model.nemo").file("nemo:other")


@pytest.mark.parametrize("length", [0, 100, 512, 3000, 100_000])
def test_a_truncated_archive_is_refused(tmp_path: Path, contents: Contents, length: int) -> None:
    path = tmp_path / "model.nemo"
    write_members(path, contents)
    whole = path.read_bytes()
    assert length < len(whole) - 20_000
    path.write_bytes(whole[:length])
    with pytest.raises(InputError, match=r"model\.nemo: "):
        read_archive(path).weights()


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_a_truncated_compressed_archive_is_refused(tmp_path: Path, contents: Contents, compression: str) -> None:
    path = tmp_path / "model.nemo"
    write_members(path, contents, compression=compression)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="or an incomplete one"):
        read_archive(path)


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.nemo", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_archive(path)


@pytest.mark.parametrize("missing", ["model_config", "model_weights"])
def test_an_archive_without_configuration_or_weights_is_no_model(
    tmp_path: Path, contents: Contents, missing: str
) -> None:
    write_members(tmp_path / "model.nemo", changed(contents, **{missing: None}))
    with pytest.raises(InputError, match=f"is not a .nemo model: it has no {missing}"):
        read_archive(tmp_path / "model.nemo")


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil", "C:evil", "\\\\host\\share\\evil", "./../evil"],
)
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path: Path, contents: Contents, name: str) -> None:
    write_members(tmp_path / "model.nemo", contents | {name: b"evil"})
    with pytest.raises(InputError, match="leads out of the archive"):
        read_archive(tmp_path / "model.nemo")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=str
)
def test_links_and_devices_are_refused(tmp_path: Path, contents: Contents, kind: bytes) -> None:
    path = tmp_path / "model.nemo"
    write_members(path, contents)
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("other")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(InputError, match="'other' is a link, a device"):
        read_archive(path)


def test_a_member_that_comes_twice_is_refused(tmp_path: Path, contents: Contents) -> None:
    write_members(tmp_path / "model.nemo", contents | {"model_config.yaml": b"{}"})
    with pytest.raises(InputError, match=r"holds 'model_config\.yaml' twice"):
        read_archive(tmp_path / "model.nemo")


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    write_members(tmp_path / "model.nemo", {str(number): b"" for number in range(MAX_MEMBERS + 1)})
    with pytest.raises(InputError, match="more than 1000 members"):
        read_archive(tmp_path / "model.nemo")


def test_a_header_that_claims_what_is_not_there_is_refused(tmp_path: Path, contents: Contents) -> None:
    path = tmp_path / "model.nemo"
    write_members(path, contents)
    member = tarfile.TarInfo("more")
    member.size = 10 * 2**30
    end = len(path.read_bytes().rstrip(b"\0"))
    content = path.read_bytes()[: -(-end // 512) * 512]
    path.write_bytes(content + member.tobuf(tarfile.GNU_FORMAT) + b"x" * 512)
    with pytest.raises(InputError, match=r"model\.nemo: (ends within|is not a \.nemo file)"):
        read_archive(path)


def test_a_gzip_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, contents: Contents) -> None:
    write_members(tmp_path / "model.nemo", contents | {"zeros": bytes(200 * 2**20)}, compression="gz")
    assert (tmp_path / "model.nemo").stat().st_size < 2**21
    with pytest.raises(InputError, match="unpacks to more than 20 times its size"):
        read_archive(tmp_path / "model.nemo")


LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "is a list, and should be a valid mapping"),
        ("", "is None, and should be a valid mapping"),
        ("a: [1\n", r"model_config\.yaml:2:1: is not valid YAML: did not find expected"),
        ("a: !!python/object/apply:os.system ['true']\n", r"yaml:1:4: is not valid YAML: could not determine a con"),
        (LAUGHS, "holds more than 300000 values"),
        ("a: " + "[" * 100_000, "is nested more than 50 deep"),
        ("a: " + "1:" * 200_000 + "1\n", "holds a number of 400001 characters"),
        ("- a\n" * (BOUNDS.values + 1), "holds more than 300000 values"),
        ("a: " + "9" * 9_000 + "\n", "holds a number of 9000 characters"),
        ("a: 2026-99-99\n", r"yaml:1:4: is not valid YAML: '2026-99-99' is not a value of the type timestamp"),
        ("\udcff", r"yaml:1: is not UTF-8 \(byte 0\)"),
        ("#" * (MAX_CONFIG_BYTES + 1), "more than the"),
    ],
    ids=["list", "empty", "broken", "python", "laughs", "deep", "long", "wide", "digits", "date", "binary", "large"],
)
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, contents: Contents, text: str, message: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    write_members(tmp_path / "model.nemo", changed(contents, model_config=content))
    with pytest.raises(InputError, match=message) as caught:
        read_archive(tmp_path / "model.nemo")
    assert "\n" not in str(caught.value)


def test_a_configuration_of_the_size_of_the_largest_published_one_is_read(tmp_path: Path, contents: Contents) -> None:
    """Ten times it: nemotron-3.5-asr-streaming-0.6b has its vocabulary of 13 087 pieces twice, in 217 588 bytes."""
    pieces = [f"▁{number}" for number in range(130_000)]
    config = configuration("ctc", 160) | {
        "labels": pieces,
        "joint": {"vocabulary": pieces},
        # NeMo notes where its training data lay
        "train_ds": {"tarred_audio_filepaths": ",".join(f"/data/audio_{number}.tar" for number in range(20_000))},
    }
    text = yaml.dump(config, Dumper=Plain, allow_unicode=True).encode()
    assert len(text) > 2_175_880
    assert len(config["train_ds"]["tarred_audio_filepaths"]) > 100_000
    write_members(tmp_path / "model.nemo", changed(contents, model_config=text))
    assert read_archive(tmp_path / "model.nemo").config == config


def test_a_tokenizer_of_ten_times_the_size_of_the_largest_published_one_is_read(
    tmp_path: Path, contents: Contents
) -> None:
    large = bytes(10 * 1_159_960)
    write_members(tmp_path / "model.nemo", contents | {"large.model": large, "huge.model": bytes(MAX_FILE_BYTES + 1)})
    archive = read_archive(tmp_path / "model.nemo")
    assert archive.file("large.model") == large
    with pytest.raises(InputError, match=r"'huge\.model' has 33554433 bytes, more than"):
        archive.file("huge.model")


class Plain(yaml.CSafeDumper):
    """Writes no aliases, as NeMo does."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def zip_bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50 * 2**20))
    return file.getvalue()


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (b"", "is not a checkpoint of PyTorch"),
        (b"not a checkpoint", "is not a checkpoint of PyTorch"),
        (pickle.dumps({"a": 1}), "is not a checkpoint of PyTorch"),
        (zip_bomb(), "claims more data than it has bytes"),
        (saved([torch.zeros(2)]), "holds 'list', not named weights"),
        (saved({}), "holds 'dict', not named weights"),
        (saved({"a": "text"}), "'a' is a str, not a tensor"),
        (saved({1: torch.zeros(2)}), "1 is a Tensor, not a tensor|1 is a"),
        (saved({"a": torch.zeros(1).expand(10**9)}), "'a' is not a plain dense tensor"),
        (saved({"a": torch.eye(3).to_sparse()}), "'a' is not a plain dense tensor"),
    ],
    ids=["empty", "text", "pickle", "zip-bomb", "list", "nothing", "string", "number", "expanded", "sparse"],
)
def test_weights_that_are_none_are_refused(tmp_path: Path, contents: Contents, checkpoint: bytes, message: str) -> None:
    write_members(tmp_path / "model.nemo", changed(contents, model_weights=checkpoint))
    with pytest.raises(InputError, match=message) as caught:
        read_archive(tmp_path / "model.nemo").weights()
    assert "\n" not in str(caught.value)


def test_code_in_the_weights_is_not_run(tmp_path: Path, contents: Contents) -> None:
    trace = tmp_path / "was-run"
    write_members(tmp_path / "model.nemo", changed(contents, model_weights=saved({"a": Evil(trace)})))
    with pytest.raises(InputError, match="cannot be read safely"):
        read_archive(tmp_path / "model.nemo").weights()
    assert not trace.exists()
