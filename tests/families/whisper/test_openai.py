"""OpenAI's .pt files against openai-whisper itself: tokens, suppressed tokens, logits, decoded text; and bad files."""

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
import whisper
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.tokenizer import get_tokenizer

from eartune.audio import decode
from eartune.errors import InputError
from eartune.families.whisper.load import find, load
from eartune.families.whisper.openai import load_openai_checkpoint
from eartune.families.whisper.tokenizer import VOCABULARIES, build_tokenizer
from eartune.model import DecodeOptions
from tests.tiny import LARGE_V3_VOCABULARY, clips_in, write_openai_checkpoint

TEXTS = [
    " The quick brown fox's 12 jumps, isn't it?",
    " Привет, как дела? Объём 25 м³",
    "日本語のテスト",
    " naïve café – “quoted” … 🎤",
    "  two  spaces\tand\nlines ",
    "",
]
KINDS = {"english": (False, 99), "multilingual": (True, 99), "large-v3": (True, 100)}


@pytest.fixture(scope="module", params=KINDS)
def tokenizers(request: pytest.FixtureRequest) -> tuple[object, object]:
    multilingual, num_languages = KINDS[request.param]
    ours = build_tokenizer(multilingual=multilingual, num_languages=num_languages)
    return ours, get_tokenizer(multilingual, num_languages=num_languages, language="en", task="transcribe")


@pytest.mark.parametrize("text", TEXTS)
def test_texts_have_openais_tokens(tokenizers: tuple, text: str) -> None:
    ours, theirs = tokenizers
    assert ours(text, add_special_tokens=False).input_ids == theirs.encode(text)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_has_openais_tokens(text: str) -> None:
    ours = _multilingual()
    theirs = get_tokenizer(True)
    found = ours(text, add_special_tokens=False, split_special_tokens=True).input_ids
    assert found == theirs.encode(text, disallowed_special=())


def _multilingual(cache: list = []) -> object:  # noqa: B006  built once
    if not cache:
        cache.append(build_tokenizer(multilingual=True, num_languages=99))
    return cache[0]


def test_special_tokens_have_openais_numbers(tokenizers: tuple) -> None:
    ours, theirs = tokenizers
    identity = ours.convert_tokens_to_ids
    assert identity("<|endoftext|>") == theirs.eot
    assert identity("<|startoftranscript|>") == theirs.sot
    assert identity("<|notimestamps|>") == theirs.no_timestamps
    assert identity("<|0.00|>") == theirs.timestamp_begin
    assert identity("<|30.00|>") == theirs.timestamp_begin + 1500
    assert len(ours) == theirs.encoding.n_vocab
    if theirs.language is not None:
        assert identity("<|ru|>") == theirs.to_language_token("ru")


@pytest.mark.parametrize("name", ["gpt2.tiktoken", "multilingual.tiktoken"])
def test_vocabulary_files_are_openais(name: str) -> None:
    assert (VOCABULARIES / name).read_bytes() == (Path(whisper.__file__).parent / "assets" / name).read_bytes()


def test_the_same_tokens_are_never_given_out(tiny_model: Path, tiny_english_model: Path) -> None:
    for path, multilingual in ((tiny_model, True), (tiny_english_model, False)):
        network, _ = load_openai_checkpoint(path)
        theirs = whisper.load_model(str(path), device="cpu")
        task = whisper.decoding.DecodingTask(theirs, whisper.DecodingOptions(language="en", fp16=False))
        assert set(network.generation_config.suppress_tokens) == set(task._get_suppress_tokens())
        assert network.generation_config.is_multilingual is multilingual


@pytest.mark.parametrize(
    ("num_vocabulary", "num_mels"), [(51865, 80), (51864, 80), (LARGE_V3_VOCABULARY, 128)], ids=["multi", "en", "v3"]
)
def test_logits_equal_openais(num_vocabulary: int, num_mels: int, tmp_path: Path) -> None:
    path = write_openai_checkpoint(tmp_path / "m.pt", num_vocabulary=num_vocabulary, num_mels=num_mels)
    network, _ = load_openai_checkpoint(path)
    theirs = whisper.load_model(str(path), device="cpu").float()
    mel = torch.randn(2, num_mels, 3000, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[50258, 50259, 50359, 50363, 11, 12], [50258, 50260, 50358, 50363, 400, 5000]])
    with torch.no_grad():
        expected = theirs(mel, tokens)
        found = network(input_features=mel, decoder_input_ids=tokens).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_decoding_equals_openais_on_real_speech(real_tiny_en: Path, demo_clips: list[tuple[Path, str]]) -> None:
    """OpenAI's real tiny.en, on clips of the bundled speech: the same words from both programs."""
    theirs = whisper.load_model(str(real_tiny_en), device="cpu")
    ours = load(find(str(real_tiny_en)))
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False, temperature=0.0)
    for clip, _ in demo_clips[:4]:
        audio = decode(clip)
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(audio), n_mels=80)
        expected = whisper.decode(theirs, mel, options).text.strip()
        found = ours.transcribe_batch([audio], clips_in(None), DecodeOptions(max_length=448))[0]
        assert found == expected


def pickled(content: object) -> bytes:
    return pickle.dumps(content)


def torch_saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


class Hostile:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (Path("hostile-code-ran").touch, ())


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


DIMS = {
    "n_mels": 80, "n_vocab": 51865, "n_audio_ctx": 1500, "n_audio_state": 32, "n_audio_head": 2, "n_audio_layer": 2,
    "n_text_ctx": 448, "n_text_state": 32, "n_text_head": 2, "n_text_layer": 2,
}  # fmt: skip
BAD_FILES = {
    "empty": b"",
    "text": b"this is not a model\n",
    "a photo": b"\xff\xd8\xff\xe0" + bytes(2000),
    "code": pickled(Hostile()),
    "code in a checkpoint": torch_saved({"dims": DIMS, "model_state_dict": Hostile()}),
    "a zip of something": zipped(readme=b"hello"),
    "a tensor": torch_saved(torch.zeros(3)),
    "another checkpoint": torch_saved({"state_dict": {}, "epoch": 3}),
    "dims of text": torch_saved({"dims": dict.fromkeys(DIMS, "80"), "model_state_dict": {}}),
    "huge dims": torch_saved({"dims": DIMS | {"n_audio_state": 10**9}, "model_state_dict": {}}),
    "no weights": torch_saved({"dims": DIMS, "model_state_dict": {}}),
    "other weights": torch_saved({"dims": DIMS, "model_state_dict": {"encoder.conv1.weight": torch.zeros(1)}}),
    "weights of text": torch_saved({"dims": DIMS, "model_state_dict": {"encoder.conv1.weight": "zero"}}),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_no_checkpoint_is_one_clear_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(BAD_FILES[name])
    with pytest.raises(InputError) as refused:
        load(find(str(path)))
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "hostile-code-ran").exists()


def test_a_truncated_checkpoint_is_one_clear_line(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.pt"
    path.write_bytes(tiny_model.read_bytes()[: tiny_model.stat().st_size // 2])
    with pytest.raises(InputError, match=r"half\.pt: is not a checkpoint"):
        load(find(str(path)))
