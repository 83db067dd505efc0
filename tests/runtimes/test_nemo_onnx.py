"""onnx-asr and sherpa-onnx on folders of Parakeets and Canaries: words, segments, and folders that are broken."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_asr
import pytest
import sherpa_onnx
import soundfile
import torch

from eartune.errors import EartuneError, InputError
from eartune.families.canary.onnx import write_onnx as write_canary
from eartune.families.parakeet.greedy import decode_transducer, text_of
from eartune.families.parakeet.onnx import write_onnx as write_parakeet
from eartune.families.registry import family
from eartune.model import DecodeOptions, Waveform
from eartune.ops.ctc import decode_ctc
from eartune.runtimes.onnx_asr import OnnxAsr
from eartune.runtimes.runtime import Runtime, SupportsLongForm
from eartune.runtimes.sherpa_onnx import SherpaOnnx
from tests.broken_onnx import cut_short, leave_out_token, set_config, set_metadata, shift_tokens, transpose_weights
from tests.lively_nemo import lively_model, varied_clips
from tests.sherpa_features import sherpa_features
from tests.tiny import clips_in

pytestmark = pytest.mark.runtimes

PROGRAMS = {"onnx-asr": OnnxAsr, "sherpa-onnx": SherpaOnnx}
KINDS = ("ctc", "rnnt", "tdt", "canary")
# most tokens that begin at a position, in sherpa-onnx
MOST_TOKENS = {"rnnt": 10, "tdt": 5}


def write(model: Any, folder: Path, quantization: Any = "float32") -> Path:
    folder.mkdir()
    (write_canary if model.family == "canary" else write_parakeet)(model, folder, quantization=quantization)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {kind: lively_model(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def folders(models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: write(speech, tmp_path_factory.mktemp("onnx") / kind) for kind, speech in models.items()}


def words(program: str, folder: Path, clips: list[Waveform]) -> list[str]:
    with PROGRAMS[program](folder) as runtime:
        return [runtime.transcribe(clip, "en") for clip in clips]


def similar(one: str, other: str) -> float:
    """Return the share of characters in which texts agree, place by place."""
    return sum(a == b for a, b in zip(one, other, strict=False)) / max(len(one), len(other), 1)


def words_on_its_features(model: Any, kind: str, clip: Waveform) -> str:
    """eartune's words on sherpa-onnx's features, and as many positions as it looks at."""
    network = model.network
    features_BTM = torch.from_numpy(sherpa_features(clip, num_mels=80, kind=kind))[None]
    with torch.no_grad():
        mask_BT = torch.ones(features_BTM.shape[:2], dtype=torch.bool)
        states_BPD = network.encoder(features_BTM, attention_mask=mask_BT).last_hidden_state
        if kind == "ctc":
            looked_at = torch.tensor([features_BTM.shape[1] // 8])
            (decoded,) = decode_ctc(network.ctc_head(states_BPD), looked_at, blank=network.config.pad_token_id)
        else:
            network.max_symbols_per_step = MOST_TOKENS[kind]
            num_positions = torch.tensor([states_BPD.shape[1]])
            (decoded,) = decode_transducer(network, network.encoder_projector(states_BPD), num_positions)
    return text_of(model.tokenizer, decoded.tokens)


@pytest.mark.parametrize("kind", ["ctc", "rnnt", "tdt"])
def test_sherpa_onnx_differs_by_its_features_only(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """A random model says other words of other features; on the same ones it says the same."""
    clips = varied_clips(8)
    model = lively_model(tmp_path, kind)
    found = words("sherpa-onnx", folders[kind], clips)
    expected = [words_on_its_features(model, kind, clip) for clip in clips]
    own = [model.transcribe_batch([clip], clips_in("en"), DecodeOptions())[0] for clip in clips]
    assert sum(map(bool, found)) > 6
    agreeing = np.mean([similar(*pair) for pair in zip(found, expected, strict=True)])
    assert agreeing > 0.9
    assert np.mean([similar(*pair) for pair in zip(found, own, strict=True)]) < agreeing


@pytest.mark.real_speech
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("quantization", ["float32", "float16", "int8"])
@pytest.mark.parametrize("kind", ["parakeet-ctc", "parakeet-rnnt", "parakeet-tdt", "parakeet-hybrid", "canary"])
def test_a_trained_model_says_eartunes_words(
    kind: str, quantization: str, program: str, shared_dir: Path, tmp_path: Path
) -> None:
    family_module = family(kind.split("-")[0])
    models = shared_dir / "models" / "nemo-tiny"
    model: Any = family_module.load(family_module.find(str(models / f"{kind}.nemo")), language="en")
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted((models / "audio" / kind).rglob("*.wav"))[:6]]
    expected = model.transcribe_batch(clips, clips_in(*["en"] * len(clips)), DecodeOptions(max_length=60))
    found = words(program, write(model, tmp_path / "onnx", quantization), clips)
    assert all(found)
    if (program, kind) == ("sherpa-onnx", "parakeet-ctc"):
        # it does not look at the last position, and these words end there
        assert all(text.startswith(part) for text, part in zip(expected, found, strict=True))
        assert sum(map(len, found)) > 0.6 * sum(map(len, expected))
    else:
        assert found == expected


@pytest.mark.parametrize("kind", KINDS)
def test_clips_of_a_batch_are_decoded_as_alone(kind: str, folders: dict[str, Path]) -> None:
    """onnx-asr pads the shorter ones, and takes a folder by the name of its kind."""
    name = json.loads((folders[kind] / "config.json").read_text())["model_type"]
    model: Any = onnx_asr.load_model(name, folders[kind], providers=["CPUExecutionProvider"])
    clips = varied_clips(6)
    together = model.recognize(clips)
    assert together == [model.recognize(clip) for clip in clips]
    assert len(set(together)) > 3


@pytest.mark.parametrize("kind", ["rnnt", "tdt"])
def test_sherpa_onnx_searches_with_beams_too(kind: str, folders: dict[str, Path]) -> None:
    """The decoder's and the joiner's graphs take what its other search gives them, many clips at once."""
    names = ("encoder-model.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt")
    paths = [str(folders[kind] / name) for name in names]
    recognizer: Any = sherpa_onnx.OfflineRecognizer.from_transducer(
        *paths, model_type="nemo_transducer", decoding_method="modified_beam_search"
    )
    streams = [recognizer.create_stream() for _ in varied_clips()]
    for stream, clip in zip(streams, varied_clips(), strict=True):
        stream.accept_waveform(16_000, clip)
    recognizer.decode_streams(streams)
    assert sum(bool(stream.result.text) for stream in streams) > 1


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", ["ctc", "tdt"])
def test_segments_are_where_the_words_are(
    kind: str, program: str, models: dict[str, Any], folders: dict[str, Path]
) -> None:
    recording = np.concatenate([np.pad(clip, (0, 16_000)) for clip in varied_clips(7) * 3])
    with PROGRAMS[program](folders[kind]) as runtime:
        assert isinstance(runtime, SupportsLongForm)
        heard = runtime.segments(recording, "en")
    assert heard.num_fallbacks is None
    starts = [segment.start_s for segment in heard.segments]
    assert len(starts) > 3
    assert starts == sorted(starts)
    assert all(0 <= s.start_s < s.end_s <= len(recording) / 16_000 for s in heard.segments)
    if program == "onnx-asr":
        own = models[kind].transcribe_long(recording, clips_in("en")[0])
        assert heard.text.replace(" ", "") == "".join(segment.text for segment in own).replace(" ", "")
        # it tells no durations, so that pauses may seem longer
        assert {segment.start_s for segment in own} <= set(starts)


def test_a_canarys_clips_are_its_segments(models: dict[str, Any], folders: dict[str, Path]) -> None:
    recording = np.concatenate(varied_clips(7) * 3)
    own = models["canary"].transcribe_long(recording, clips_in("en")[0])
    with OnnxAsr(folders["canary"]) as runtime:
        heard = runtime.segments(recording, "en").segments
    assert [(s.start_s, s.end_s) for s in heard] == [(s.start_s, s.end_s) for s in own]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", ["ctc", "tdt"])
@pytest.mark.parametrize("name", ["weights", "tokens", "token missing"])
def test_a_folder_that_loads_and_is_wrong_has_other_words_or_is_an_error(
    name: str, kind: str, program: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(folders[kind], tmp_path / "broken"))
    if name == "weights":
        transpose_weights(broken / ("model.onnx" if kind == "ctc" else "encoder-model.onnx"))
    for tokens in ("tokens.txt", "vocab.txt"):
        if name == "tokens":
            shift_tokens(broken / tokens)
        elif name == "token missing":
            leave_out_token(broken / tokens)
    sound = words(program, folders[kind], varied_clips())
    # sherpa-onnx does not count a CTC model's tokens; onnx-asr takes a TDT's score of the blank for that of a duration
    counted = (program, kind) in (("onnx-asr", "ctc"), ("sherpa-onnx", "tdt"))
    if name == "token missing" and counted:
        with pytest.raises(EartuneError) as caught:
            words(program, broken, varied_clips())
        assert "\n" not in str(caught.value)
    else:
        assert words(program, broken, varied_clips()) != sound


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", KINDS)
def test_other_mel_bins_are_an_error(kind: str, program: str, folders: dict[str, Path], tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folders[kind], tmp_path / "broken"))
    set_config(broken, features_size=128)
    if kind != "ctc" and program == "sherpa-onnx":
        set_metadata(broken / ("encoder.onnx" if kind == "canary" else "encoder-model.onnx"), feat_dim="128")
    with pytest.raises(EartuneError, match="Got: 128 Expected: 80") as caught:
        words(program, broken, varied_clips())
    assert "\n" not in str(caught.value)


def break_tdt(folder: Path) -> None:
    set_metadata(folder / "encoder-model.onnx", url="rnnt")


def break_normalisation(folder: Path) -> None:
    set_metadata(folder / "encoder-model.onnx", normalize_type="all_features")


def break_metadata(folder: Path) -> None:
    set_metadata(folder / "encoder-model.onnx", vocab_size="")


def cut_encoder(folder: Path) -> None:
    cut_short(folder / "encoder-model.onnx")


def cut_decoder(folder: Path) -> None:
    cut_short(folder / "decoder.onnx")


def break_tokens(folder: Path) -> None:
    (folder / "tokens.txt").write_bytes(b"\xff\xfe\x00 a b c\n" * 7)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (break_tdt, "vocab_size: 161 != output_size: 166"),
        (break_normalisation, "per_feature"),
        (break_metadata, "'vocab_size' does not exist in the metadata"),
        (cut_encoder, "Protobuf"),
        (cut_decoder, "Protobuf"),
        (break_tokens, ""),
    ],
)
def test_what_sherpa_onnx_dies_of_is_one_line(
    break_it: Callable[[Path], None], reason: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """It ends its process over most of these."""
    broken = Path(shutil.copytree(folders["tdt"], tmp_path / "broken"))
    break_it(broken)
    with pytest.raises(EartuneError, match=r"broken: sherpa-onnx ended .*; the file is broken") as caught:
        words("sherpa-onnx", broken, varied_clips())
    assert reason.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["encoder-model.onnx", "decoder_joint-model.onnx"])
def test_what_onnx_asr_cannot_open_is_one_line(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folders["tdt"], tmp_path / "broken"))
    cut_short(broken / name)
    with pytest.raises(InputError, match=r"broken: onnx-asr cannot open it: .*INVALID_PROTOBUF") as caught:
        OnnxAsr(broken)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_no_folder_of_onnx_is_refused(program: str, folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder with ONNX files"):
        PROGRAMS[program](tmp_path / "missing")
    with pytest.raises(InputError, match=r"config\.json: no such file; export the model again"):
        PROGRAMS[program](tmp_path)
    broken = Path(shutil.copytree(folders["ctc"], tmp_path / "broken"))
    set_config(broken, model_type="whisper")
    with pytest.raises(InputError, match=r"model_type is 'whisper'"):
        PROGRAMS[program](broken)


@pytest.mark.parametrize(
    ("program", "name"), [("sherpa-onnx", "joiner.onnx"), ("onnx-asr", "decoder_joint-model.onnx")]
)
def test_a_file_that_is_missing_is_named(program: str, name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folders["tdt"], tmp_path / "broken"))
    (broken / name).unlink()
    with pytest.raises(InputError, match=name):
        PROGRAMS[program](broken)


@pytest.mark.parametrize("program", PROGRAMS)
def test_clips_without_features_are_refused(program: str, folders: dict[str, Path]) -> None:
    with PROGRAMS[program](folders["ctc"]) as runtime:
        for count in (0, 319):
            with pytest.raises(InputError, match=f"a clip of {count} samples is too short"):
                runtime.transcribe(np.zeros(count, np.float32), None)
        # and of the shortest it says something, or nothing
        runtime.transcribe(np.zeros(320, np.float32), None)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_canary_must_be_told_a_language_it_has(program: str, folders: dict[str, Path]) -> None:
    with PROGRAMS[program](folders["canary"]) as runtime:
        for language in (None, "xx"):
            with pytest.raises(InputError, match="en"):
                runtime.transcribe(varied_clips()[0], language)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_parakeet_does_not_translate(program: str, folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="only transcribes, and cannot translate"):
        PROGRAMS[program](folders["tdt"], task="translate")


@pytest.mark.parametrize("program", PROGRAMS)
def test_cuda_that_is_not_there_is_not_replaced(program: str, folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="has no CUDA"):
        PROGRAMS[program](folders["ctc"], device="cuda")


@pytest.mark.parametrize(("program", "package"), [("onnx-asr", "onnx_asr"), ("sherpa-onnx", "sherpa_onnx")])
def test_a_program_that_is_missing_is_named(
    program: str, package: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{program} is not installed; pip install 'eartune\[onnx\]'"):
        PROGRAMS[program](folders["ctc"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_runtime_keeps_the_contract(program: str, folders: dict[str, Path]) -> None:
    with PROGRAMS[program](folders["rnnt"], num_threads=2) as runtime:
        same: Runtime = runtime
        assert isinstance(same.transcribe(varied_clips()[0], None), str)
