"""Greedy decoding against transformers' generate, which keeps all rows to the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from eartune.audio import decode as decode_audio
from eartune.errors import InputError
from eartune.families.whisper.decode import pad_waveforms
from eartune.families.whisper.greedy import GREEDY_LOOP_OPTIONS, complete_languages, decode, prompts
from eartune.families.whisper.load import find, load
from eartune.families.whisper.loss import whisper_of
from eartune.manifest import read_manifest
from eartune.model import Network
from eartune.ops import greedy

LANGUAGES: list[str | None] = ["en", "ru", "de", "en", "fr", "ja", "en", "ru"]
NUM_ROWS = len(LANGUAGES)
# what makes <|endoftext|> so likely that some rows end soon, some later and some never
ENDING = {"tiny_model": 1.75, "tiny_english_model": 3.0}


@pytest.fixture(scope="module", params=ENDING)
def network(request: pytest.FixtureRequest) -> Network:
    return made_to_end(load(find(str(request.getfixturevalue(request.param)))).network, ENDING[request.param])


@pytest.fixture(scope="module")
def multilingual(tiny_model: Path) -> Network:
    return made_to_end(load(find(str(tiny_model))).network, ENDING["tiny_model"])


def made_to_end(network: Network, extra: float) -> Network:
    """Add to the score of <|endoftext|>; let no timestamps through, because generate goes back where it finds two."""
    settings = network.generation_config
    timestamps = range(settings.no_timestamps_token_id, network.config.vocab_size)
    settings.suppress_tokens = sorted({*settings.suppress_tokens, *timestamps})
    end_V = torch.zeros(network.config.vocab_size)
    end_V[settings.eos_token_id] = extra
    network.proj_out.register_forward_hook(lambda head, given, scores: scores + end_V)  # noqa: ARG005
    return network


def features(num_rows: int, num_frames: int = 3000, num_mels: int = 80) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    loudness = torch.linspace(0.2, 4, num_rows)[:, None, None]
    return loudness * torch.randn(num_rows, num_mels, num_frames, generator=generator)


@torch.no_grad()
def ours(network: Network, window: torch.Tensor, languages: list[str | None], *, max_length: int) -> list[list[int]]:
    states = network.model.encoder(window).last_hidden_state
    spoken = ["<|en|>"] * len(languages)
    if network.generation_config.is_multilingual:
        spoken = complete_languages(network, states, languages)
    start = torch.tensor(prompts(network, spoken, task="transcribe"))
    return decode(network, states, start, max_length=max_length)


def theirs(
    network: Network, window: torch.Tensor, languages: list[str | None] | None, **settings: Any
) -> list[list[int]]:
    if network.generation_config.is_multilingual:
        settings |= {"task": "transcribe"} | ({"language": languages} if languages else {})
    tokens = network.generate(window, return_timestamps=False, num_beams=1, **settings)
    return [without_end(network, row) for row in tokens.tolist()]


def without_end(network: Network, row: list[int]) -> list[int]:
    end = network.generation_config.eos_token_id
    return row[: row.index(end)] if end in row else row


@pytest.mark.parametrize("num_rows", [1, 3, NUM_ROWS])
@pytest.mark.parametrize("max_length", [2, 60])
def test_tokens_are_those_of_generate(network: Network, num_rows: int, max_length: int) -> None:
    window, languages = features(NUM_ROWS)[:num_rows], LANGUAGES[:num_rows]
    expected = theirs(network, window, languages, max_length=max_length)
    assert ours(network, window, languages, max_length=max_length) == expected


def test_the_longest_texts_are_those_of_generate(network: Network) -> None:
    """The model's own end is 448 with the prompt, whatever is asked for."""
    expected = theirs(network, features(NUM_ROWS), LANGUAGES, max_length=448)
    assert ours(network, features(NUM_ROWS), LANGUAGES, max_length=448) == expected
    assert max(map(len, expected)) == 448 - (4 if network.generation_config.is_multilingual else 2)


def test_rows_end_at_different_times(network: Network) -> None:
    """What the other tests rest on. The prompt is not counted."""
    lengths = sorted(len(row) for row in ours(network, features(NUM_ROWS), LANGUAGES, max_length=60))
    assert len(set(lengths)) >= 4
    assert lengths[0] < 10
    assert lengths[-3:] == [60, 60, 60]


def test_a_first_token_that_is_suppressed_is_not_written(network: Network) -> None:
    free = ours(network, features(3), LANGUAGES[:3], max_length=4)
    settings = network.generation_config
    usual = settings.suppress_tokens, settings.begin_suppress_tokens
    settings.begin_suppress_tokens = [*usual[1], free[0][0]]
    settings.suppress_tokens = [*usual[0], free[0][1]]
    try:
        found = ours(network, features(3), LANGUAGES[:3], max_length=4)
        expected = theirs(network, features(3), LANGUAGES[:3], max_length=4)
    finally:
        settings.suppress_tokens, settings.begin_suppress_tokens = usual
    assert found == expected
    assert found != free


def test_known_and_unknown_languages_share_a_batch(multilingual: Network) -> None:
    window = features(NUM_ROWS)
    detected = theirs(multilingual, window, None, max_length=20)
    told = theirs(multilingual, window, LANGUAGES, max_length=20)
    mixed = [language if row % 2 else None for row, language in enumerate(LANGUAGES)]
    found = ours(multilingual, window, mixed, max_length=20)
    assert found == [(told if row % 2 else detected)[row] for row in range(NUM_ROWS)]
    assert found not in (told, detected)


def test_an_unknown_language_is_named_with_the_nearest(multilingual: Network) -> None:
    with pytest.raises(InputError, match=r"language 'enn' is not one .* Did you mean nn, en"):
        complete_languages(multilingual, torch.zeros(1, 10, 32), ["enn"])


class Steps:
    """Counts the rows that the decoder is given, each time."""

    def __init__(self, network: Network) -> None:
        self.rows: list[int] = []
        self.handle = network.model.decoder.register_forward_hook(self.count)

    def count(self, decoder: Any, given: tuple[torch.Tensor, ...], answer: Any) -> None:  # noqa: ARG002
        self.rows.append(len(given[0]))


@pytest.fixture
def steps(network: Network) -> Iterator[Steps]:
    counter = Steps(network)
    yield counter
    counter.handle.remove()


def test_rows_that_never_end_do_not_hold_their_batch(network: Network, steps: Steps) -> None:
    found = ours(network, features(NUM_ROWS), LANGUAGES, max_length=200)
    lengths = [len(row) for row in found]
    assert 1 <= lengths.count(200) <= NUM_ROWS / 2
    assert len(steps.rows) == 200
    assert steps.rows[0] == NUM_ROWS
    assert steps.rows[-1] == lengths.count(200)
    # each row once for each of its tokens and for its end, and a little idling
    needed = sum(min(length + 1, 200) for length in lengths)
    assert needed <= sum(steps.rows) < 1.25 * needed < 0.8 * 200 * NUM_ROWS


@pytest.mark.parametrize("interval", [1, 4, 7])
def test_checking_less_often_changes_nothing(
    network: Network, interval: int, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an accelerator, where each check waits for the device."""
    expected = ours(network, features(NUM_ROWS), LANGUAGES, max_length=80)
    monkeypatch.setattr(greedy, "tokens_between_checks", lambda device: interval)  # noqa: ARG005
    assert ours(network, features(NUM_ROWS), LANGUAGES, max_length=80) == expected
    assert steps.rows[-1] == [len(row) for row in expected].count(80)


def test_timestamps_written_unasked_do_not_make_it_start_again(tiny_model: Path) -> None:
    """generate, called once: given the freedom it goes back to the last timestamp, for ever where that is 0."""
    network = load(find(str(tiny_model))).network
    start = network.generation_config.no_timestamps_token_id + 1
    network.generation_config.suppress_tokens = list(range(start))
    window, languages = features(2), LANGUAGES[:2]
    tokens = theirs(network, window, languages, max_length=12, force_unique_generate_call=True)
    found = ours(network, window, languages, max_length=12)
    assert found == [without_end(network, row[4:]) for row in tokens]
    assert min(min(row) for row in found) >= start


def test_adapters_are_decoded_with(tiny_model: Path) -> None:
    plain = ours(made_to_end(load(find(str(tiny_model))).network, 1.75), features(NUM_ROWS), LANGUAGES, max_length=30)
    network = made_to_end(load(find(str(tiny_model))).network, 1.75)
    torch.manual_seed(0)
    adapted = get_peft_model(network, LoraConfig(r=4, target_modules=["q_proj", "fc1"], init_lora_weights=False)).eval()
    expected = theirs(adapted, features(NUM_ROWS), LANGUAGES, max_length=30)
    assert whisper_of(adapted) is network
    assert ours(whisper_of(adapted), features(NUM_ROWS), LANGUAGES, max_length=30) == expected
    assert expected != plain


@pytest.mark.parametrize("num_rows", [1, NUM_ROWS])
def test_tokens_under_autocast_are_those_of_generate(network: Network, num_rows: int) -> None:
    """Of rows that never leave: rounding to bf16 depends on the size of the batch."""
    network.generation_config.suppress_tokens.append(network.generation_config.eos_token_id)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            expected = theirs(network, features(NUM_ROWS)[:num_rows], LANGUAGES[:num_rows], max_length=30)
            found = ours(network, features(NUM_ROWS)[:num_rows], LANGUAGES[:num_rows], max_length=30)
    finally:
        network.generation_config.suppress_tokens.pop()
    assert found == expected


@pytest.mark.real_speech
@torch.no_grad()
def test_real_speech_has_the_tokens_of_generate(shared_dir: Path) -> None:
    """The real whisper-tiny: prompts of different lengths, their language told and detected."""
    model = load(find(str(shared_dir / "models" / "whisper-tiny")))
    rows = read_manifest([shared_dir / "data" / "prompts-en" / "test.jsonl"]).utterances[:4]
    window = model.log_mel(pad_waveforms([decode_audio(row.audio) for row in rows]))
    told: list[str | None] = ["en"] * len(rows)
    expected = theirs(model.network, window, told, max_length=225)
    assert ours(model.network, window, told, max_length=225) == expected
    assert len({len(row) for row in expected}) >= 3
    untold: list[str | None] = [None] * len(rows)
    assert ours(model.network, window, untold, max_length=225) == theirs(model.network, window, None, max_length=225)


# what a model's generation config may hold besides the tokens of its prompts
WITHOUT_EFFECT: dict[str, Any] = {
    "max_length": 3, "num_beams": 3, "do_sample": True, "task": "translate", "language": "ru",
    "return_timestamps": True, "temperature": 0.1, "top_k": 3, "top_p": 0.2, "min_p": 0.3, "top_h": 0.3,
    "typical_p": 0.2, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "length_penalty": 3.0, "early_stopping": True,
    "alignment_heads": [[0, 0]], "max_initial_timestamp_index": 1, "return_token_timestamps": True,
    "prev_sot_token_id": 3, "condition_on_prev_tokens": True, "prompt_condition_type": "all-segments",
    "use_cache": False, "bos_token_id": 9, "pad_token_id": 7, "output_scores": True, "output_logits": True,
    "output_attentions": True, "output_hidden_states": True,
}  # fmt: skip


def test_options_without_effect_leave_the_tokens_of_generate_as_they_are(
    multilingual: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, languages = features(3), LANGUAGES[:3]
    plain = theirs(multilingual, window, languages, max_length=20)
    for name, value in WITHOUT_EFFECT.items():
        monkeypatch.setattr(multilingual.generation_config, name, value, raising=False)
    assert WITHOUT_EFFECT.keys() < GREEDY_LOOP_OPTIONS
    assert theirs(multilingual, window, languages, max_length=20) == plain
    assert ours(multilingual, window, languages, max_length=20) == plain
