"""What every family promises, on its tiny model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from eartune.families.registry import family
from eartune.family import families
from eartune.manifest import Utterance, read_manifest
from eartune.model import IGNORED, DecodeOptions, PlacedUtterance, SpeechModel, block_of
from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.plan import MicroBatch
from eartune.training.batching.windows import Window
from eartune.training.loss import SpeechLoss, encoder_inputs, target_inputs
from tests.tiny import clips_in

# family -> the kinds of its tiny models
KINDS = {
    "whisper": ("whisper",),
    "canary": ("canary",),
    "parakeet": ("ctc", "rnnt", "tdt", "hybrid", "streaming", "prompted"),
    "wav2vec2": ("group", "layer", "mms", "bert", "hubert", "shortened", "shortened bert"),
}
PAIRS = [(name, kind) for name in families() for kind in KINDS[name]]
# with a decoder that attends to the encoder, and a loss for each token; those of Parakeet are of whole texts
ATTENDING = ("whisper", "canary")


@pytest.fixture(params=PAIRS, ids="-".join)
def model(request: pytest.FixtureRequest) -> SpeechModel:
    name, kind = request.param
    family_module = family(name)
    fixture = {"whisper": "tiny_model", "wav2vec2": "tiny_wav2vec2"}.get(name, "tiny_nemo")
    found = request.getfixturevalue(fixture)
    path = found if name == "whisper" else found[kind]
    return family_module.load(family_module.find(str(path)), language="en")


@pytest.fixture
def utterances(tiny_speech: Path) -> tuple[Utterance, ...]:
    return read_manifest([tiny_speech]).utterances


def test_good_speech_has_no_findings(model: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    assert model.findings(utterances) == [None] * len(utterances)
    too_long = Utterance(audio=Path("x.wav"), text="x", duration_s=model.window.max_s + 1, language="en")
    assert model.findings([too_long])[0]


def test_labels_pair_inputs_with_answers(model: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    transcripts = model.transcripts(utterances)
    for index, utterance in enumerate(utterances):
        labels = transcripts.labels([PlacedUtterance(index, 0.0, utterance.duration_s)], timestamps=False)
        assert len(labels.decoder_input_ids) == len(labels.targets)
        assert any(target != IGNORED for target in labels.targets)
        assert transcripts.language(index) == "en"


def test_a_transcript_is_written_in_the_language_spoken(model: SpeechModel) -> None:
    spoken = Utterance(audio=Path("x.wav"), text="x", duration_s=1.0, language="de")
    assert model.languages(spoken) == ("de", "de")


def test_a_translation_is_written_in_the_target_language(tiny_model: Path, tiny_nemo: dict[str, Path]) -> None:
    spoken = Utterance(audio=Path("x.wav"), text="x", duration_s=1.0, language="de")
    into_french = replace(spoken, extra={"target_lang": "fr-FR"})
    for name, path in (("whisper", tiny_model), ("canary", tiny_nemo["canary"])):
        family_module = family(name)
        translating = family_module.load(family_module.find(str(path)), task="translate")
        assert translating.languages(spoken).text == "en"
    assert translating.languages(into_french).text == "fr"


def batch_of(model: SpeechModel, utterances: tuple[Utterance, ...], rows: list[int], *, width_s: float = 30.0) -> Batch:
    windows = tuple(
        Window((PlacedUtterance(row, 0.0, utterances[row].duration_s),), utterances[row].duration_s, width_s)
        for row in rows
    )
    return SpeechDataset(utterances, model)[MicroBatch(windows, width_s)]


def loss_of(model: SpeechModel, batch: Batch) -> torch.Tensor:
    cpu = torch.device("cpu")
    return model.summed_loss([encoder_inputs(batch, model, cpu) | target_inputs(batch, cpu)])


@pytest.mark.parametrize("width_s", [30.0, 3.2])
def test_a_batch_trains(model: SpeechModel, utterances: tuple[Utterance, ...], width_s: float) -> None:
    loss = loss_of(model, batch_of(model, utterances, [0, 1, 2], width_s=width_s))
    loss.backward()
    assert torch.isfinite(loss)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.network.parameters())


def test_padding_of_a_batch_does_not_change_the_loss(model: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    """The loss of two clips together is that of each alone."""
    with torch.no_grad():
        first, second, both = (float(loss_of(model, batch_of(model, utterances, r))) for r in ([0], [5], [0, 5]))
    assert both == pytest.approx(first + second, rel=1e-4)


@pytest.mark.parametrize("model", [pair for pair in PAIRS if pair[0] in ATTENDING], indirect=True, ids="-".join)
def test_the_loss_is_that_of_the_whole_networks_logits(model: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    """And what the encoder learns of it: the loss alone of a tiny model hardly tells what was heard."""
    batch = batch_of(model, utterances, [0, 3])
    inputs = encoder_inputs(batch, model, torch.device("cpu")) | {"decoder_input_ids": batch.decoder_input_ids}
    labels = batch.labels
    weights = [w for w in block_of(model.network, model.blocks.encoder).parameters() if w.requires_grad]
    logits = model.network(**inputs).logits.flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, labels.flatten(), reduction="sum")
    found = loss_of(model, batch)
    torch.testing.assert_close(found, expected, atol=0, rtol=1e-5)
    for one, other in zip(torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_batches_together_have_the_loss_and_gradients_of_each(
    model: SpeechModel, utterances: tuple[Utterance, ...]
) -> None:
    batches = [batch_of(model, utterances, rows, width_s=w) for rows, w in (([0, 1], 30.0), ([2, 3, 4], 3.2))]
    sum((loss_of(model, batch) for batch in batches), torch.zeros(())).backward()
    expected = {name: p.grad.clone() for name, p in model.network.named_parameters() if p.grad is not None}
    with torch.no_grad():
        apart = sum(float(loss_of(model, batch)) for batch in batches)
    model.network.zero_grad()
    together = SpeechLoss(model)(batches)
    together.backward()
    assert float(together) == pytest.approx(apart, rel=1e-5)
    found = {name: p.grad for name, p in model.network.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)


def test_the_loss_is_a_module_to_hooks_and_wrappers(model: SpeechModel, utterances: tuple[Utterance, ...]) -> None:
    batch = batch_of(model, utterances, [0, 1], width_s=3.2)
    loss = SpeechLoss(model).eval()
    assert {id(p) for p in loss.parameters()} == {id(p) for p in model.network.parameters()}
    seen: list[torch.Tensor] = []
    loss.register_forward_hook(lambda _, __, value: seen.append(value))
    with torch.no_grad():
        assert float(nn.Sequential(loss)([batch])) == float(loss_of(model, batch)) == float(seen[0])


def test_decoding_gives_one_text_per_clip(model: SpeechModel) -> None:
    clips = [np.zeros(16_000, dtype=np.float32), 0.1 * np.ones(8_000, dtype=np.float32)]
    texts = model.transcribe_batch(clips, clips_in("en", None), DecodeOptions(max_length=8))
    assert [type(text) for text in texts] == [str, str]


def test_blocks_name_what_is_there(model: SpeechModel) -> None:
    names = [name for name, _ in model.network.named_modules()]
    blocks = model.blocks
    assert {blocks.encoder, *blocks.head} <= set(names)
    assert blocks.decoder is None or blocks.decoder in names
    # layers are numbered from the input to the output
    for layers in filter(None, (blocks.encoder_layers, blocks.decoder_layers)):
        stack = [name for name, _ in model.network.get_submodule(layers).named_children()]
        assert stack == [str(number) for number in range(len(stack))]
        assert stack
    for target in model.blocks.default_targets:
        assert any(f".{name}".endswith(f".{target}") for name in names)
    assert set(model.blocks.forbidden_targets) <= set(names)


def test_a_saved_model_answers_the_same(model: SpeechModel, tmp_path: Path) -> None:
    model.network.eval()
    with torch.no_grad():
        expected = model.network(**model.probe_inputs()).logits
    model.save(tmp_path)
    family_module = family(model.family)
    again = family_module.load(family_module.find(str(tmp_path)), language="en")
    again.network.eval()
    with torch.no_grad():
        found = again.network(**again.probe_inputs()).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    clip = [0.1 * np.ones(16_000, dtype=np.float32)]
    options = DecodeOptions(max_length=8)
    assert again.transcribe_batch(clip, clips_in("en"), options) == model.transcribe_batch(
        clip, clips_in("en"), options
    )


def test_the_contract_is_small() -> None:
    methods = {name for name, value in vars(SpeechModel).items() if callable(value) and not name.startswith("_")}
    members = methods | set(SpeechModel.__annotations__)
    assert len(members) <= 15, sorted(members)
