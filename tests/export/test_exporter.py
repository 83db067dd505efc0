"""What is asked for, and what is then written."""

from pathlib import Path

import pytest

from eartune.errors import InputError
from eartune.export.exporter import Exporter, as_app_file, plan
from eartune.families.registry import exports_of
from eartune.family import Format
from eartune.verbs.export_paths import choose_destination


def planned(formats: list[str], quantizations: list[str], family: str = "whisper") -> list[str]:
    targets = plan(formats, quantizations, family=family, exporters=exports_of(family).formats)
    return [target.name for target in targets]


def test_each_format_has_a_usual_quantisation() -> None:
    assert planned(["ggml", "ctranslate2", "onnx", "openai", "hf"], []) == [
        "ggml-f16", "ctranslate2-float16", "onnx-float32", "openai-float16", "hf",
    ]  # fmt: skip
    assert planned(["nemo", "onnx", "hf"], [], "parakeet") == ["nemo", "onnx-float32", "hf"]


def test_quantisations_go_to_the_formats_that_have_them_under_any_name() -> None:
    assert planned(["ggml", "ctranslate2"], ["q5_0", "int8"]) == ["ggml-q5_0", "ctranslate2-int8"]
    assert planned(["ggml", "ctranslate2"], ["fp16"]) == ["ggml-f16", "ctranslate2-float16"]
    assert planned(["ggml"], ["f16", "float16", "q8_0"]) == ["ggml-f16", "ggml-q8_0"]
    assert planned(["ggml", "openai"], ["q8_0"]) == ["ggml-q8_0", "openai-float16"]


def test_what_is_not_known_is_told_with_what_is_near() -> None:
    with pytest.raises(InputError, match=r"only to ggml, ctranslate2, .*\. Did you mean ggml"):
        planned(["gmml"], [])
    with pytest.raises(InputError, match="--to ggml: a parakeet cannot be exported to it, only to nemo, onnx, hf"):
        planned(["ggml"], [], "parakeet")
    with pytest.raises(InputError, match="--quantize q5_k: ggml have f16, f32, q8_0, q5_1, q5_0"):
        planned(["ggml"], ["q5_k"])


def test_one_export_goes_where_it_is_told_and_several_into_folders_there(tmp_path: Path) -> None:
    formats = exports_of("whisper").formats
    [ggml, hf] = plan(["ggml", "hf"], [], family="whisper", exporters=formats)
    out = tmp_path / "deployed"
    assert choose_destination(ggml, "run", out, alone=True).path == out
    assert choose_destination(ggml, "run", out, alone=False).path == out / "ggml-f16"
    named = choose_destination(ggml, "run", tmp_path / "mine.bin", alone=True)
    assert (named.path, named.is_file) == (tmp_path / "mine.bin", True)
    with pytest.raises(InputError, match=r"mine\.bin is one file, and several exports are requested"):
        choose_destination(ggml, "run", tmp_path / "mine.bin", alone=False)
    # a folder may be called anything
    assert not choose_destination(hf, "run", tmp_path / "mine.bin", alone=True).is_file


def test_without_a_place_exports_lie_in_the_run_or_here(tmp_path: Path) -> None:
    [target] = plan(["ggml"], ["q8_0"], family="whisper", exporters=exports_of("whisper").formats)
    assert choose_destination(target, "openai/whisper-tiny", None, alone=True).path == Path(
        "export/whisper-tiny/ggml-q8_0"
    )
    (tmp_path / "origin.json").write_text("{}")
    assert choose_destination(target, str(tmp_path), None, alone=True).path == tmp_path / "export" / "ggml-q8_0"


def test_an_app_names_the_file() -> None:
    declared = Format("a file", ("f16", "q5_0"), "nowhere:Nothing", lambda _: (), "ggml-model-{quantization}.bin")
    exporter = Exporter(lambda *_: None, declared)
    [target] = plan(["ggml"], ["q5_0"], family="whisper", exporters={"ggml": exporter})
    assert target.file_name == "ggml-model-q5_0.bin"
    handed = as_app_file(target, "mimir", "whisper-russian-ggml.bin")
    assert (handed.name, handed.file_name, handed.quantization) == ("mimir", "whisper-russian-ggml.bin", "q5_0")
