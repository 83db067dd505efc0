"""Generation options of a model, and whether the greedy loop serves it or transformers' generate."""

import pytest
from transformers import GenerationConfig

from eartune.families.whisper.greedy import NEUTRAL_VALUES, supports_greedy_loop
from eartune.families.whisper.load import find, load

# generation_config.json of openai/whisper-large-v3, its tables shortened
LARGE_V3 = {
    "alignment_heads": [[7, 0], [10, 17]], "begin_suppress_tokens": [220, 50257], "bos_token_id": 50257,
    "decoder_start_token_id": 50258, "eos_token_id": 50257, "is_multilingual": True, "lang_to_id": {"<|en|>": 50259},
    "max_initial_timestamp_index": 50, "max_length": 448, "no_timestamps_token_id": 50364, "pad_token_id": 50257,
    "prev_sot_token_id": 50362, "return_timestamps": False, "suppress_tokens": [],
    "task_to_id": {"transcribe": 50360, "translate": 50359}, "transformers_version": "4.36.0.dev0",
}  # fmt: skip


@pytest.mark.parametrize("name", ["tiny_model", "tiny_english_model"])
def test_openais_checkpoints_use_the_loop(name: str, request: pytest.FixtureRequest) -> None:
    assert supports_greedy_loop(load(find(str(request.getfixturevalue(name)))).network.generation_config)


def test_large_v3_uses_the_loop_and_so_it_does_with_options_spelled_out() -> None:
    assert supports_greedy_loop(GenerationConfig(**LARGE_V3))
    assert supports_greedy_loop(GenerationConfig(**LARGE_V3, **NEUTRAL_VALUES, bad_words_ids=None))
    assert supports_greedy_loop(GenerationConfig(**LARGE_V3, language="hindi", task="transcribe", use_cache=False))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repetition_penalty", 1.3),
        ("encoder_repetition_penalty", 1.3),
        ("no_repeat_ngram_size", 1),
        ("encoder_no_repeat_ngram_size", 2),
        ("min_length", 4),
        ("min_new_tokens", 3),
        ("max_new_tokens", 5),
        ("max_time", 1.0),
        ("stop_strings", ["."]),
        ("bad_words_ids", [[7]]),
        ("sequence_bias", [[[7], 5.0]]),
        ("forced_eos_token_id", 50256),
        ("exponential_decay_length_penalty", (1, 1.5)),
        ("renormalize_logits", True),
        ("remove_invalid_values", True),
        ("guidance_scale", 1.5),
        ("prompt_lookup_num_tokens", 3),
        ("assistant_early_exit", 1),
        ("assistant_confidence_threshold", 0.3),
        ("cache_implementation", "quantized"),
        ("an_option_of_a_later_version", 0),
    ],
)
def test_an_option_that_nobody_listed_is_left_to_generate(name: str, value: object) -> None:
    assert not supports_greedy_loop(GenerationConfig(**LARGE_V3, **{name: value}))
