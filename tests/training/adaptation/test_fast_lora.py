"""The faster LoRA and DoRA layers: PEFT's own outputs, gradients, names and files, with less kept for backward."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora.config import KasaConfig, VeloraConfig
from peft.tuners.lora.layer import Linear
from torch import nn
from torch.utils.checkpoint import checkpoint

from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.families.whisper.load import find, load
from eartune.model import SpeechModel
from eartune.ops.low_rank import dropout_mask
from eartune.reporting import Silent
from eartune.training.adaptation import adapter_files, fast_lora
from eartune.training.adaptation.fast_lora import FastLinear, keep_frozen_weights, speed_up
from eartune.training.adaptation.trainable import make_trainable

PLAIN: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "rank pattern": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"fc1": 64}},
    "trained biases": {"bias": "all"},
    "dora and trained biases": {"use_dora": True, "bias": "all"},
}
LEFT_TO_PEFT: dict[str, dict[str, Any]] = {
    "lora_bias": {"lora_bias": True, "target_modules": ["q_proj", "fc1"]},
    "velora": {"velora_config": VeloraConfig()},
    "kasa": {"kasa_config": KasaConfig()},
}


class Attention(nn.Module):
    """Two matrices that read the same input, with bias and without, and one after them."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(48, 32), nn.Linear(48, 32, bias=False)
        self.fc1 = nn.Linear(32, 40)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * 1.0
        hidden: torch.Tensor = self.fc1(torch.tanh(self.q_proj(x) * self.k_proj(x)))
        return hidden


def adapted(**options: Any) -> PeftModel:
    """Return PEFT's network as if after some training."""
    torch.manual_seed(0)
    given = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "fc1"], **options}
    network = get_peft_model(Attention(), LoraConfig(**given))
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.2)
        elif "magnitude" in name:
            parameter.data *= 1 + 0.3 * torch.rand_like(parameter)
    return network


def fast(network: PeftModel) -> PeftModel:
    network = copy.deepcopy(network)
    assert speed_up(network) == 3
    return network


def inputs() -> torch.Tensor:
    return torch.randn(3, 7, 48, generator=torch.Generator().manual_seed(4))


@contextmanager
def bf16(on: bool) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16, enabled=on):
        yield


def step(network: nn.Module, *, autocast: bool = False, checkpointing: bool = False) -> dict[str, torch.Tensor]:
    """Return the output and all gradients of one step."""
    network.zero_grad()
    x = inputs().requires_grad_()
    torch.manual_seed(5)
    with bf16(autocast):
        y = checkpoint(network, x, use_reentrant=False) if checkpointing else network(x)
    y.float().square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    return {"output": y.detach(), "input": x.grad, **gradients}  # type: ignore[dict-item]


def check_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], *, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        difference = (found[name].float() - value.float()).norm() / value.float().norm()
        assert difference < tolerance, f"{name}: {difference:.1e}"


@pytest.fixture
def same_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw masks from torch's generator as its own dropout does."""

    def draw(shape: torch.Size, p: float, device: torch.device) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.uint8, device=device).bernoulli_(1 - p)

    monkeypatch.setattr(fast_lora, "dropout_mask", draw)


@pytest.mark.usefixtures("same_masks")
@pytest.mark.parametrize("autocast", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN)
def test_outputs_and_gradients_are_pefts(options: dict[str, Any], dropout: float, autocast: bool) -> None:
    network = adapted(lora_dropout=dropout, **options)
    expected = step(network, autocast=autocast)
    check_equal(step(fast(network), autocast=autocast), expected, tolerance=0.02 if autocast else 2e-6)


@pytest.mark.any_processor
@pytest.mark.parametrize("use_dora", [False, True])
def test_rounding_to_bf16_strays_about_as_far_as_pefts(use_dora: bool) -> None:
    network = adapted(use_dora=use_dora)
    exact, peft, ours = step(network), step(network, autocast=True), step(fast(network), autocast=True)
    for name, value in exact.items():
        strayed = [(found[name].float() - value).norm() for found in (peft, ours)]
        assert strayed[1] < 1.5 * strayed[0], name


@pytest.mark.parametrize("autocast", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("options", [{}, {"use_dora": True}], ids=["lora", "dora"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient_checkpointing_changes_nothing(options: dict[str, Any], dropout: float, autocast: bool) -> None:
    network = fast(adapted(lora_dropout=dropout, **options))
    check_equal(step(network, autocast=autocast, checkpointing=True), step(network, autocast=autocast), tolerance=1e-6)


@pytest.mark.parametrize("options", [{}, {"use_dora": True}], ids=["lora", "dora"])
def test_inputs_in_any_layout_are_accepted(options: dict[str, Any]) -> None:
    network = adapted(**options)
    for x in (inputs().transpose(0, 1), inputs()[:, ::2], inputs()[0], inputs()[:0]):
        torch.testing.assert_close(fast(network)(x), network(x))


@pytest.mark.parametrize("options", [{}, {"use_dora": True}], ids=["lora", "dora"])
def test_double_precision_stays_double(options: dict[str, Any]) -> None:
    network = adapted(**options).double()
    y = fast(network)(inputs().double())
    assert y.dtype == torch.float64
    torch.testing.assert_close(y, network(inputs().double()), rtol=1e-12, atol=1e-12)


def test_merged_disabled_and_foreign_adapters_answer_as_pefts() -> None:
    network = adapted(use_dora=True)
    ours, x = fast(network), inputs()
    with network.disable_adapter(), ours.disable_adapter():
        assert torch.equal(ours(x), network(x))
    tuned = ours(x)
    ours.merge_adapter()
    torch.testing.assert_close(ours(x), tuned)
    ours.unmerge_adapter()
    torch.testing.assert_close(ours(x), tuned)
    for each in (network, ours):
        torch.manual_seed(2)
        each.add_adapter("second", LoraConfig(r=2, target_modules=["fc1"], init_lora_weights=False))
        each.set_adapter("second")
    torch.testing.assert_close(ours(x), network(x))
    ours.set_adapter("default")
    plain = ours.merge_and_unload()
    assert type(plain.fc1) is nn.Linear
    torch.testing.assert_close(plain(x), tuned)


def test_norms_of_dora_follow_the_weights_and_are_kept_while_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    network = adapted(use_dora=True)
    ours, x, computed = fast(network), inputs(), []
    norm = fast_lora.adapted_norm
    monkeypatch.setattr(fast_lora, "adapted_norm", lambda *values: computed.append(1) or norm(*values))
    for scale in (3.0, 0.5):
        for each in (network, ours.train()):
            # as an optimiser does that does not tell torch
            each.base_model.model.fc1.lora_B["default"].weight.data.mul_(scale)
        torch.testing.assert_close(ours(x), network(x))
    assert len(computed) == 2 * 3
    for each in (network, ours.eval()):
        each.base_model.model.fc1.lora_B["default"].weight.data.mul_(2.0)
    with torch.no_grad():
        ours.train()(x)
        torch.testing.assert_close(ours.eval()(x), network(x))
        computed.clear()
        ours(x)
    assert not computed


def test_an_input_that_was_written_over_is_read_again() -> None:
    network, x = adapted(), inputs()
    q_proj = fast(network).base_model.model.q_proj
    with torch.no_grad(), bf16(True):
        q_proj(x)
        x.mul_(2)
        torch.testing.assert_close(q_proj(x), q_proj(x.clone()), rtol=0, atol=0)


def test_names_and_saved_files_are_pefts(tmp_path: Path) -> None:
    network = adapted(use_dora=True, lora_dropout=0.1)
    ours = fast(network)
    assert list(ours.state_dict()) == list(network.state_dict())
    for each, name in ((network, "peft"), (ours, "ours")):
        step(each.eval())
        each.save_pretrained(tmp_path / name)
    written = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("peft", "ours")]
    assert written[0] == written[1]
    loaded = PeftModel.from_pretrained(Attention(), tmp_path / "ours")
    assert type(loaded.base_model.model.fc1) is Linear


@pytest.mark.parametrize("options", LEFT_TO_PEFT.values(), ids=LEFT_TO_PEFT)
def test_everything_beyond_the_plain_case_is_left_to_peft(options: dict[str, Any]) -> None:
    network = adapted(**options)
    assert speed_up(network) == 0
    assert not any(isinstance(module, FastLinear) for module in network.modules())
    before = network.base_model.model.fc1.base_layer.weight.clone()
    keep_frozen_weights(network, torch.bfloat16)
    assert torch.equal(network.base_model.model.fc1.base_layer.weight, before)


def kept_bytes(network: nn.Module) -> int:
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), bf16(True):
        network(inputs().repeat(40, 1, 1).requires_grad_())
    return sum(size for storage, size in kept.items() if storage not in own)


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_less_is_kept_for_backward(use_dora: bool, dropout: float) -> None:
    network = adapted(use_dora=use_dora, lora_dropout=dropout)
    assert kept_bytes(fast(network)) < 0.8 * kept_bytes(network)


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_dropout_drops_its_share_evenly(p: float) -> None:
    torch.manual_seed(0)
    mask = dropout_mask(torch.Size([999, 1001]), p, torch.device("cpu"))
    assert set(mask.unique().tolist()) == {0, 1}
    sigma = (p * (1 - p)) ** 0.5
    dropped = 1 - mask.float()
    assert (dropped.mean() - p).abs() < 5 * sigma / dropped.numel() ** 0.5
    assert (dropped.mean(0) - p).abs().max() < 6 * sigma / 999**0.5
    neighbours = torch.corrcoef(torch.stack([dropped.flatten()[:-1], dropped.flatten()[1:]]))[0, 1]
    assert neighbours.abs() < 5 / dropped.numel() ** 0.5


@pytest.mark.parametrize("fused", [True, False])
def test_a_dora_answers_with_the_norms_of_its_last_step(fused: bool) -> None:
    """A fused optimiser changes weights without telling their version."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj"], use_dora=True)
    adapted = get_peft_model(Attention(), config)
    speed_up(adapted)
    x = torch.randn(5, 48)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=0.1, fused=fused)
    for _ in range(2):
        adapted.train()
        optimizer.zero_grad()
        torch.autograd.backward(adapted(x).square().mean())
        optimizer.step()
        found = adapted.eval()(x)
        plain = copy.deepcopy(adapted).merge_and_unload()
        torch.testing.assert_close(found, plain(x), atol=1e-5, rtol=1e-5)


# whole models


def tuned(tiny_model: Path, base_weights: str, **options: Any) -> tuple[SpeechModel, adapter_files.Weights | None]:
    """Train a tiny Whisper for a few steps in bf16."""
    torch.manual_seed(1)
    model = load(find(str(tiny_model)), language="en")
    given = {"base_weights": base_weights, "r": 4, "lora_alpha": 8, **options}
    config = resolve_config(overrides=[override(name, value) for name, value in given.items()], complete=False)
    adaptation = make_trainable(model, config, [], base_spec="tiny", precision="bf16", report=Silent())
    optimizer = torch.optim.AdamW([p for p in model.network.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        with bf16(True):
            loss = model.network(**model.probe_inputs()).logits.float().square().mean()
        torch.autograd.backward(loss)
        optimizer.step()
    model.network.eval()
    return model, adaptation.initial


def bf16_matrices(model: SpeechModel) -> set[str]:
    return {name for name, p in model.network.named_parameters() if p.dtype == torch.bfloat16}


def test_frozen_matrices_are_kept_in_bf16_and_nothing_else(tiny_model: Path) -> None:
    speech, _ = tuned(tiny_model, "auto", target_modules=["q_proj", "v_proj"])
    found = bf16_matrices(speech)
    assert len(found) == 2 * 6 + 2 * 10
    assert all(name.endswith("weight") and "embed" not in name and "lora" not in name for name in found)
    assert not bf16_matrices(tuned(tiny_model, "fp32")[0])


def test_lora_learns_exactly_the_same_on_frozen_matrices_in_bf16(tiny_model: Path) -> None:
    halves, whole = (adapter_files.adapter_weights(tuned(tiny_model, kept)[0].network) for kept in ("auto", "fp32"))
    assert any(value.any() for name, value in whole.items() if "lora_B" in name), "nothing was learnt"
    assert halves.keys() == whole.keys()
    assert all(torch.equal(halves[name], value) for name, value in whole.items())


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"init_lora_weights": "pissa"}], ids=str)
def test_an_adapter_trained_on_bf16_is_saved_in_fp32_and_fits_the_published_base(
    tiny_model: Path, options: dict[str, Any], tmp_path: Path
) -> None:
    model, initial = tuned(tiny_model, "auto", **options)
    assert bf16_matrices(model)
    with torch.no_grad(), bf16(True):
        trained = model.network(**model.probe_inputs()).logits.float()
    adapter_files.save_adapter(model.network, tmp_path, initial=initial)
    assert {v.dtype for v in adapter_files.load_weights(tmp_path / "adapter_model.safetensors").values()} == {
        torch.float32
    }
    fresh = load(find(str(tiny_model)), language="en")
    with torch.no_grad():
        untuned = fresh.network.eval()(**fresh.probe_inputs()).logits
    plain = adapter_files.merge(adapter_files.load_adapter(fresh.network, tmp_path))
    merged = adapter_files.logits(plain, fresh.probe_inputs(), dtype=torch.float32)
    assert (merged - trained).norm() < 0.02 * trained.norm()
    assert (merged - untuned).norm() > 0.1 * untuned.norm()
