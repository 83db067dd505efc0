"""What is said before NeMo is asked: that it is missing, and which files it must not open."""

import sys
from pathlib import Path

import pytest

from eartune.errors import InputError
from eartune.families._nemo.spec import known_config
from eartune.runtimes.nemo_toolkit import open_nemo


def test_without_nemo_it_says_what_to_install(tiny_nemo: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nemo", None)
    with pytest.raises(InputError, match=r"nemo_toolkit is not installed; pip install 'nemo_toolkit\[asr\]'$"):
        open_nemo(next(iter(tiny_nemo.values())), read_config=known_config)


@pytest.mark.parametrize(
    "config",
    [
        {"target": "evil.EncDecCTCModelBPE"},
        {"target": "nemo.collections.asr.EncDecCTCModelBPE", "preprocessor": {"_target_": "os.system"}},
        {"target": "nemo.collections.asr.EncDecCTCModelBPE", "parts": [{"more": {"_target_": "nemo.collectionsx.X"}}]},
    ],
)
def test_classes_of_others_are_never_made(config: dict, tmp_path: Path) -> None:
    (tmp_path / "model.nemo").touch()
    with pytest.raises(InputError, match="which is not a class of NeMo's collections, and NeMo would run it"):
        open_nemo(tmp_path / "model.nemo", read_config=lambda _: config)


def test_a_file_that_is_no_archive_is_refused_before_nemo_sees_it(tmp_path: Path) -> None:
    (tmp_path / "model.nemo").write_bytes(b"no tar")
    with pytest.raises(InputError, match=r"model\.nemo: is not a \.nemo file"):
        open_nemo(tmp_path / "model.nemo", read_config=known_config)


def test_a_parakeet_does_not_translate(tiny_nemo: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="task 'translate': the model only transcribes"):
        open_nemo(next(p for k, p in tiny_nemo.items() if k != "canary"), read_config=known_config, task="translate")
