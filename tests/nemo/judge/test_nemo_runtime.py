""".nemo files in NeMo itself, behind the functions that all runtimes have."""

from pathlib import Path

import numpy as np
import pytest

from eartune.audio import decode
from eartune.errors import InputError
from eartune.families._nemo.spec import known_config
from eartune.families.parakeet.load import load
from eartune.families.registry import family
from eartune.model import DecodeOptions
from eartune.runtimes.nemo_toolkit import NemoMultiTask, open_nemo
from eartune.runtimes.registry import open_runtime
from eartune.runtimes.runtime import SupportsLongForm
from tests.tiny import clips_in

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from tests.nemo.judge.models import STREAMING, build  # noqa: E402  they need NeMo

pytestmark = pytest.mark.nemo

PARAKEETS = ["parakeet-ctc", "parakeet-rnnt", "parakeet-tdt", "parakeet-hybrid"]


def clips(shared: Path, kind: str) -> list[Path]:
    return sorted((shared / "models" / "nemo-tiny" / "audio" / kind).glob("*.wav"))[:3]


@pytest.mark.parametrize("kind", [*PARAKEETS, "canary"])
def test_words_are_those_that_nemo_writes_of_the_files(kind: str, shared_dir: Path) -> None:
    path, paths = shared_dir / "models" / "nemo-tiny" / f"{kind}.nemo", clips(shared_dir, kind)
    judge = nemo_asr.models.ASRModel.restore_from(str(path), map_location="cpu").eval()
    prompt = {"source_lang": "en", "target_lang": "en"} if kind == "canary" else {}
    found = judge.transcribe([str(each) for each in paths], batch_size=1, verbose=False, **prompt)
    expected = [(each if isinstance(each, str) else each.text).strip() for each in found]
    assert all(expected)
    with open_runtime(path, read_nemo_config=known_config) as runtime:
        assert [runtime.transcribe(decode(each), "en") for each in paths] == expected


@pytest.mark.parametrize("kind", PARAKEETS)
def test_segments_of_a_parakeet_lie_in_the_recording(kind: str, shared_dir: Path) -> None:
    clip = decode(clips(shared_dir, kind)[0])
    with open_nemo(shared_dir / "models" / "nemo-tiny" / f"{kind}.nemo", read_config=known_config) as runtime:
        assert isinstance(runtime, SupportsLongForm)
        found = runtime.segments(clip, None)
        assert found.text == runtime.transcribe(clip, None)
        assert found.segments
        assert all(0 <= each.start_s < each.end_s <= len(clip) / 16_000 + 0.2 for each in found.segments)


@pytest.mark.parametrize("language", ["en", "ru", "sw", None])
def test_a_model_with_prompts_is_told_the_language(language: str | None, tmp_path: Path) -> None:
    path = build("prompted", tmp_path / "built", **STREAMING)
    model = load(family("parakeet").find(str(path)))
    clip = 0.1 * np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    expected = model.transcribe_batch([clip], clips_in(language), DecodeOptions())
    assert expected[0]
    with open_nemo(path, read_config=known_config) as runtime:
        assert [runtime.transcribe(clip, language)] == expected


def test_what_a_canary_is_not_told_or_does_not_know_is_one_line(shared_dir: Path) -> None:
    with open_nemo(shared_dir / "models" / "nemo-tiny" / "canary.nemo", read_config=known_config) as runtime:
        assert isinstance(runtime, NemoMultiTask)
        with pytest.raises(InputError, match="no language is named, and the model detects none"):
            runtime.transcribe(np.zeros(32_000, dtype=np.float32), None)
        with pytest.raises(InputError, match="language 'xx': the model has no token for it"):
            runtime.transcribe(np.zeros(32_000, dtype=np.float32), "xx")
