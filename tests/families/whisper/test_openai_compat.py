"""Networks that runtimes outside transformers would run as something else are refused by name."""

from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.errors import InputError
from eartune.families.whisper.load import find, load
from eartune.families.whisper.openai_compat import require_openai_layout
from eartune.families.whisper.tokenizer import build_tokenizer
from tests.tiny import LARGE_V3_VOCABULARY, write_openai_checkpoint


@pytest.mark.parametrize(("num_vocabulary", "num_mels"), [(51865, 80), (51864, 80), (LARGE_V3_VOCABULARY, 128)])
def test_openais_own_builds_are_standard(num_vocabulary: int, num_mels: int, tmp_path: Path) -> None:
    path = write_openai_checkpoint(tmp_path / "m.pt", num_vocabulary=num_vocabulary, num_mels=num_mels)
    model = load(find(str(path)))
    require_openai_layout(model.network, model.tokenizer)


def test_the_hubs_whisper_is_standard(shared_dir: Path) -> None:
    model = load(find(str(shared_dir / "models" / "whisper-tiny")))
    require_openai_layout(model.network, model.tokenizer)


def resize(network: Any) -> None:
    network.resize_token_embeddings(51872)


def untie(network: Any) -> None:
    network.proj_out.weight = torch.nn.Parameter(network.proj_out.weight + 1)


OTHER_BUILDS = {
    "has 51872 tokens": resize,
    "has a head": untie,
    "has windows of 15 s": lambda network: setattr(network.config, "max_source_positions", 750),
    "has texts of at most 256 tokens": lambda network: setattr(network.config, "max_target_positions", 256),
    "has 40 mel bins": lambda network: setattr(network.config, "num_mel_bins", 40),
    "has the activation relu": lambda network: setattr(network.config, "activation_function", "relu"),
    "scales its embeddings": lambda network: setattr(network.config, "scale_embedding", True),
    "has feed-forward layers": lambda network: setattr(network.config, "decoder_ffn_dim", 64),
}


@pytest.mark.parametrize("said", OTHER_BUILDS)
def test_another_build_is_refused_in_one_line(said: str, tiny_model: Path) -> None:
    model = load(find(str(tiny_model)))
    OTHER_BUILDS[said](model.network)
    with pytest.raises(InputError, match=f"^the model {said}") as refused:
        require_openai_layout(model.network, model.tokenizer)
    assert "\n" not in str(refused.value)


def test_another_vocabulary_is_refused(tiny_model: Path) -> None:
    model = load(find(str(tiny_model)))
    model.tokenizer.add_tokens(["eartune"])
    with pytest.raises(InputError, match="a tokenizer of 51866 tokens for a network of 51865"):
        require_openai_layout(model.network, model.tokenizer)
    with pytest.raises(InputError, match=r"has '<\|startoftranscript\|>' as token 50257 where OpenAI has"):
        require_openai_layout(model.network, build_tokenizer(multilingual=False, num_languages=99))
