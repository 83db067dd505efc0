"""What is written beside a Parakeet's weights decodes in transformers as the kind of its decoder asks for."""

from pathlib import Path

import pytest
from transformers import AutoProcessor

from eartune.errors import InputError
from eartune.families.parakeet.processor import build_processor
from eartune.families.registry import family
from tests.tiny_nemo import MODELS, STREAMING

# letters that follow themselves, and a space
TEXT = "good door"


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "canary"])
def test_repeats_are_joined_for_a_ctc_only_and_blanks_are_never_written(
    kind: str, tiny_nemo: dict[str, Path], tmp_path: Path
) -> None:
    family_module = family("parakeet")
    model = family_module.load(family_module.find(str(tiny_nemo[kind])))
    model.save(tmp_path / "model")
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    config = model.network.config
    is_ctc = config.model_type == "parakeet_ctc"
    if kind not in STREAMING:
        assert processor.decoder_type == config.model_type.removeprefix("parakeet_")
    blank = config.pad_token_id if is_ctc else config.blank_token_id
    assert processor.tokenizer.pad_token_id == processor.blank_token_id == blank
    tokens = processor.tokenizer(TEXT, add_special_tokens=False).input_ids
    assert tokens == model.tokenizer(TEXT, add_special_tokens=False).input_ids
    said = model.tokenizer.decode(tokens)
    twice = [each for token in tokens for each in (token, token, blank)] if is_ctc else [*tokens, blank, blank]
    assert processor.decode(twice, skip_special_tokens=True) == said


def test_a_tokenizer_of_another_model_is_refused(tiny_nemo: dict[str, Path]) -> None:
    family_module = family("parakeet")
    model = family_module.load(family_module.find(str(tiny_nemo["ctc"])))
    model.network.config.pad_token_id += 1
    with pytest.raises(InputError, match=r"the tokenizer has \d+ tokens, and the network's blank is token \d+"):
        build_processor(model.network, model.tokenizer, None)
