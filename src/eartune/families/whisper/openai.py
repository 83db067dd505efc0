"""OpenAI's own .pt checkpoints as Hugging Face networks: renamed weights, no values changed.

Format: torch.save of {"dims": sizes, "model_state_dict": weights} (openai/whisper, whisper/__init__.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizer

from eartune.declared_weights import require_layers, require_shapes
from eartune.errors import InputError, explained, first_line
from eartune.families.whisper.tokenizer import build_tokenizer
from eartune.weights import RELOAD_ADVICE, require_weights

_DIMENSIONS = (
    "n_mels", "n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer",
    "n_text_ctx", "n_text_state", "n_text_head", "n_text_layer",
)  # fmt: skip
_ENGLISH_ONLY_VOCABULARY = 51864
_LANGUAGES_AND_OTHERS = 51765

# OpenAI's name -> Hugging Face's, applied in this order to whole dotted parts
RENAMES = {
    "blocks": "layers",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "mlp_ln": "final_layer_norm",
    "cross_attn_ln": "encoder_attn_layer_norm",
    "cross_attn": "encoder_attn",
    "attn_ln": "self_attn_layer_norm",
    "attn": "self_attn",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "out": "out_proj",
    "ln_post": "layer_norm",
    "ln": "layer_norm",
    "token_embedding": "embed_tokens",
    "positional_embedding": "embed_positions.weight",
}


def load_openai_checkpoint(path: Path) -> tuple[WhisperForConditionalGeneration, WhisperTokenizer]:
    """Read a checkpoint without running anything in it. Raises InputError for a file that is not one."""
    (sizes, weights), where = _read(path), str(path)
    require_weights(weights, where=where)
    multilingual = sizes["n_vocab"] > _ENGLISH_ONLY_VOCABULARY
    num_languages = sizes["n_vocab"] - _LANGUAGES_AND_OTHERS - int(multilingual)
    names = {name: f"model.{transformers_name(name)}" for name in weights}
    shapes = {names[name]: tuple(value.shape) for name, value in weights.items()}
    with explained(where, "is of a network that cannot be built", advice=RELOAD_ADVICE):
        tokenizer = build_tokenizer(multilingual=multilingual, num_languages=num_languages)
        config = network_config(sizes, tokenizer)
        require_layers(names.values(), config, where=where)
        require_shapes(shapes, WhisperForConditionalGeneration, config, where=where)
        network = WhisperForConditionalGeneration(config)
    _fill(network, weights, path)
    network.generation_config = generation_config(tokenizer, multilingual=multilingual)
    return network.eval(), tokenizer


def _read(path: Path) -> tuple[dict[str, int], dict[str, torch.Tensor]]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler that is fed any bytes may raise anything
        reason = first_line(error)
        raise InputError(
            f"{path}: is not a checkpoint that can be read safely ({reason[:120]});"
            " expected OpenAI's .pt file, complete as downloaded"
        ) from None
    if not isinstance(checkpoint, Mapping) or not {"dims", "model_state_dict"} <= checkpoint.keys():
        keys = (
            ", ".join(map(str, list(checkpoint)[:5])) if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
        )
        raise InputError(
            f"{path}: is not an OpenAI Whisper checkpoint: it has no dims and model_state_dict "
            f"(found: {keys or 'nothing'})"
        )
    dims, weights = checkpoint["dims"], checkpoint["model_state_dict"]
    if not isinstance(dims, Mapping) or not all(
        isinstance(dims.get(n), int) and 0 < dims[n] < 10**6 for n in _DIMENSIONS
    ):
        raise InputError(f"{path}: is not an OpenAI Whisper checkpoint: its dims are {dims!r:.200}")
    if not isinstance(weights, Mapping) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise InputError(f"{path}: is not an OpenAI Whisper checkpoint: its model_state_dict holds more than tensors")
    return {name: dims[name] for name in _DIMENSIONS}, dict(weights)


def network_config(sizes: Mapping[str, int], tokenizer: WhisperTokenizer) -> WhisperConfig:
    """Return the configuration of a network of OpenAI's dimensions (n_mels, n_vocab, n_audio_ctx, ...)."""
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    return WhisperConfig(
        vocab_size=sizes["n_vocab"],
        num_mel_bins=sizes["n_mels"],
        d_model=sizes["n_audio_state"],
        max_source_positions=sizes["n_audio_ctx"],
        max_target_positions=sizes["n_text_ctx"],
        encoder_layers=sizes["n_audio_layer"],
        encoder_attention_heads=sizes["n_audio_head"],
        encoder_ffn_dim=4 * sizes["n_audio_state"],
        decoder_layers=sizes["n_text_layer"],
        decoder_attention_heads=sizes["n_text_head"],
        decoder_ffn_dim=4 * sizes["n_text_state"],
        decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|startoftranscript|>"),
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        attn_implementation="sdpa",
    )


def _fill(network: WhisperForConditionalGeneration, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    renamed: dict[str, torch.Tensor] = {
        f"model.{transformers_name(name)}": value.float() for name, value in weights.items()
    }
    renamed["proj_out.weight"] = renamed.get("model.decoder.embed_tokens.weight", torch.empty(0))
    try:
        network.load_state_dict(renamed, strict=True)
    except RuntimeError as error:
        raise InputError(f"{path}: its weights do not fit its dims: {str(error).splitlines()[-1].strip()}") from None


def transformers_name(name: str) -> str:
    """Return what transformers calls one of OpenAI's weights, within its `model`."""
    dotted = f".{name}."
    for old, new in RENAMES.items():
        dotted = dotted.replace(f".{old}.", f".{new}.")
    return dotted.strip(".")


def generation_config(tokenizer: WhisperTokenizer, *, multilingual: bool) -> GenerationConfig:
    """Build the settings of stock Whisper decoding from the tokenizer (openai/whisper decoding.py)."""
    identity = tokenizer.convert_tokens_to_ids
    end = identity("<|endoftext|>")
    # tokenizers on the hub keep its older name
    no_speech = "<|nospeech|>" if "<|nospeech|>" in tokenizer.get_vocab() else "<|nocaptions|>"
    never = [
        "<|startoftranscript|>",
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        no_speech,
    ]
    settings: dict[str, Any] = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": identity("<|startoftranscript|>"),
        "no_timestamps_token_id": identity("<|notimestamps|>"),
        "is_multilingual": multilingual,
        "max_length": 448,
        "max_initial_timestamp_index": 50,
        "return_timestamps": False,
        "suppress_tokens": sorted({*_non_speech_tokens(tokenizer), *map(identity, never)}),
        "begin_suppress_tokens": [_encode(tokenizer, " ")[0], end],
    }
    assert end not in settings["suppress_tokens"], "a token that the tokenizer does not know"
    if multilingual:
        first, last = identity("<|startoftranscript|>") + 1, identity("<|translate|>")
        settings["lang_to_id"] = {tokenizer.convert_ids_to_tokens(token): token for token in range(first, last)}
        settings["task_to_id"] = {task: identity(f"<|{task}|>") for task in ("transcribe", "translate")}
    return GenerationConfig(**settings)


def _encode(tokenizer: WhisperTokenizer, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def _non_speech_tokens(tokenizer: WhisperTokenizer) -> set[int]:
    """Tokens of annotations such as [MUSIC] or ♪, which Whisper's decoding never gives out."""
    brackets = list('"#()*+/:;<=>@[\\]^_`{|}~「」『』')
    brackets += ["<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))", "[[", "]]"]
    brackets += ["{{", "}}", "♪♪", "♪♪♪"]
    notes = list("♩♪♫♬♭♮♯")
    # a hyphen or an apostrophe is speech inside a word and annotation at its beginning
    found = {_encode(tokenizer, " -")[0], _encode(tokenizer, " '")[0]}
    for symbol in brackets + notes:
        for tokens in (_encode(tokenizer, symbol), _encode(tokenizer, f" {symbol}")):
            # notes share their first bytes, so the first token stands for all of them
            if len(tokens) == 1 or symbol in notes:
                found.add(tokens[0])
    return found
