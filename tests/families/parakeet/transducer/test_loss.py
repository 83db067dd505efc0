"""The transducer's loss against all paths walked one by one and against transformers' own."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.loss.loss_tdt import tdt_loss

from eartune.errors import InputError
from eartune.families.parakeet.transducer import sweeps, transducer_losses
from tests.families.parakeet.transducer.paths import (
    BLANK,
    VOCABULARY,
    WIDTH,
    Problem,
    losses_of_all_paths,
    problem,
)

DURATIONS = [None, (0, 1, 2, 3, 4), (1, 2), (0, 1), (1,), (0, 2, 5), (3, 0, 1)]
SIZES = {
    "ragged": ([4, 1, 3, 2], [2, 0, 3, 1]),
    "one frame": ([1], [2]),
    "no tokens": ([3, 2], [0, 0]),
    "long": ([5], [4]),
}


@pytest.fixture(autouse=True)
def few_nodes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "CHUNK_ELEMENTS", 7 * 10 + 3)


def assert_same_with_gradients(
    given: Problem, found: torch.Tensor, expected: torch.Tensor, *, tolerance: float
) -> None:
    """Compare what is finite; each clip's loss weighs something else."""
    possible = expected.isfinite()
    assert torch.equal(found.isfinite(), possible)
    torch.testing.assert_close(found[possible], expected[possible], atol=tolerance, rtol=tolerance)
    if not possible.any():
        return
    weights = torch.linspace(-1, 2, len(found), dtype=found.dtype)[possible]
    ours = torch.autograd.grad(found[possible] @ weights, given.leaves(), allow_unused=True, materialize_grads=True)
    theirs = torch.autograd.grad(expected[possible] @ weights, given.leaves(), materialize_grads=True)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("sigma", [0.0, 0.05])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("durations", DURATIONS, ids=str)
def test_value_and_gradients_are_those_of_all_paths(durations: tuple[int, ...] | None, size: str, sigma: float) -> None:
    given = problem(*SIZES[size], durations)
    expected = losses_of_all_paths(given, sigma=sigma)
    assert_same_with_gradients(given, given.losses(sigma=sigma), expected, tolerance=1e-10)


@pytest.mark.parametrize("durations", [d for d in DURATIONS if d is not None], ids=str)
def test_value_and_gradients_are_those_of_transformers(durations: tuple[int, ...]) -> None:
    given = problem([17, 9, 12, 2], [6, 0, 11, 1], durations)
    logits = given.logits()
    # theirs computes in float32
    expected = tdt_loss(
        logits[..., :VOCABULARY], logits[..., VOCABULARY:], given.targets, given.frames, given.tokens,
        BLANK, list(durations), sigma=0.05, reduction="none",
    ).double()  # fmt: skip
    found = given.losses(sigma=0.05)
    if {0, 1} <= set(durations):
        assert_same_with_gradients(given, found, expected, tolerance=1e-4)
    else:
        # some nodes cannot be reached: there its gradients are not numbers
        torch.testing.assert_close(found, expected, atol=0, rtol=1e-5)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=4),
    durations=st.sampled_from(DURATIONS),
    seed=st.integers(0, 99),
)
def test_each_clip_counts_alone_and_padding_is_not_read(
    sizes: list[tuple[int, int]], durations: tuple[int, ...] | None, seed: int
) -> None:
    given = problem([frames for frames, _ in sizes], [tokens for _, tokens in sizes], durations, seed=seed)
    found = given.losses()
    alone = torch.cat([given.clip(row).losses() for row in range(len(sizes))])
    assert (found >= 0).all()
    torch.testing.assert_close(found, alone, atol=1e-10, rtol=0)
    states = torch.arange(given.targets.shape[1] + 1)
    beyond_frames = torch.arange(given.encoder.shape[1]) >= given.frames[:, None]
    beyond_tokens = states > given.tokens[:, None]
    spoilt = replace(
        given,
        encoder=given.encoder.masked_fill(beyond_frames[..., None], torch.nan),
        decoder=given.decoder.masked_fill(beyond_tokens[..., None], torch.nan),
        targets=given.targets.masked_fill(beyond_tokens[:, 1:], -100),
    )
    assert torch.equal(spoilt.losses(), found)
    possible = found.isfinite()
    grads = torch.autograd.grad(found[possible].sum(), given.leaves(), materialize_grads=True)
    grads_of_spoilt = torch.autograd.grad(spoilt.losses()[possible].sum(), given.leaves(), materialize_grads=True)
    for one, other in zip(grads, grads_of_spoilt, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_float32_differs_from_float64_by_its_rounding_alone() -> None:
    given = problem([40, 25], [12, 9], (0, 1, 2, 3, 4))
    rounded = problem([40, 25], [12, 9], (0, 1, 2, 3, 4), dtype=torch.float32)
    found, expected = rounded.losses(), given.losses()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, atol=0, rtol=1e-5)
    ours = torch.autograd.grad(found.sum(), rounded.leaves())
    theirs = torch.autograd.grad(expected.sum(), given.leaves())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-4, rtol=1e-4)


@pytest.mark.any_processor
def test_under_autocast_only_the_products_are_rounded() -> None:
    given = problem([20, 11], [6, 3], (0, 1, 2), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = given.losses()
    hidden = torch.relu(given.encoder[:, :, None] + given.decoder[:, None]).bfloat16()
    assert isinstance(given.head, nn.Linear)
    logits = nn.functional.linear(hidden, given.head.weight.bfloat16(), given.head.bias.bfloat16()).float()
    expected = tdt_loss(
        logits[..., :VOCABULARY], logits[..., VOCABULARY:], given.targets, given.frames, given.tokens, BLANK,
        [0, 1, 2], reduction="none",
    )  # fmt: skip
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    ours = torch.autograd.grad(found.sum(), given.leaves())
    theirs = torch.autograd.grad(expected.sum(), given.leaves())
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=0.03 * float(other.abs().max()), rtol=0)


def test_rnnt_over_the_tokens_of_a_tdt_head_leaves_its_durations_alone() -> None:
    given = problem([5, 3], [2, 1], (0, 1, 2))
    tokens_only = nn.Linear(WIDTH, VOCABULARY, dtype=torch.float64)
    assert isinstance(given.head, nn.Linear)
    tokens_only.weight = nn.Parameter(given.head.weight[:VOCABULARY].detach())
    tokens_only.bias = nn.Parameter(given.head.bias[:VOCABULARY].detach())
    found = replace(given, durations=None).losses()
    torch.testing.assert_close(found, replace(given, durations=None, head=tokens_only).losses())
    found.sum().backward()
    assert given.head.weight.grad is not None
    assert given.head.weight.grad[:VOCABULARY].any()
    assert not given.head.weight.grad[VOCABULARY:].any()


def test_a_clip_that_no_path_fits_is_infinite_and_adds_no_gradient() -> None:
    given = problem([2, 4], [3, 1], (1, 2))
    losses = given.losses()
    assert losses[0] == torch.inf
    losses.sum().backward()
    assert given.encoder.grad is not None
    assert not given.encoder.grad[0].any()
    assert given.encoder.grad[1].any()
    assert given.encoder.grad.isfinite().all()


@pytest.mark.parametrize("durations", [None, (0, 1, 2)], ids=str)
def test_a_head_with_an_adapter_learns_through_it_alone(durations: tuple[int, ...] | None) -> None:
    given = problem([6, 4], [2, 3], durations)
    adapted = Adapted(given.head)
    with_adapter = replace(given, head=adapted)
    expected = losses_of_all_paths(with_adapter)
    found = with_adapter.losses()
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    trained = [given.encoder, given.decoder, adapted.down.weight, adapted.up.weight]
    for one, other in zip(
        torch.autograd.grad(found.sum(), trained), torch.autograd.grad(expected.sum(), trained), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
    found = with_adapter.losses()
    found.sum().backward()
    assert all(parameter.grad is None for parameter in given.head.parameters())


class Adapted(nn.Module):
    """A frozen head beside a low-rank path, as peft's."""

    def __init__(self, head: nn.Module, *, dropout: float = 0.0) -> None:
        super().__init__()
        assert isinstance(head, nn.Linear)
        generator = torch.Generator().manual_seed(1)
        self.base = head.requires_grad_(False)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(WIDTH, 2, bias=False, dtype=torch.float64)
        self.up = nn.Linear(2, head.out_features, bias=False, dtype=torch.float64)
        for layer in (self.down, self.up):
            layer.weight = nn.Parameter(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.base(hidden) + self.up(self.down(self.dropout(hidden)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("where", ["joint", "adapter"])
def test_what_is_dropped_is_dropped_in_both_passes(where: str) -> None:
    """The gradient is that of the value: what a small step along it changes."""
    given = problem([9, 7], [3, 4], (0, 1, 2))
    if where == "adapter":
        given = replace(given, head=Adapted(given.head, dropout=0.5))
    options = {"dropout": 0.5} if where == "joint" else {}

    def loss(encoder: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        return replace(given, encoder=encoder).losses(**options).sum()

    (grad,) = torch.autograd.grad(loss(given.encoder), given.encoder)
    direction = torch.randn(grad.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        rise = (loss(given.encoder + 1e-6 * direction) - loss(given.encoder - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close((grad * direction).sum(), rise, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        assert loss(given.encoder) == loss(given.encoder)
        assert loss(given.encoder) != given.losses().sum() or where == "adapter"


def test_an_activation_whose_hooks_might_draw_is_refused() -> None:
    given = problem([2], [1], None)
    activation = nn.ReLU()
    activation.register_forward_hook(lambda *_: None)
    with pytest.raises(AssertionError, match="between the passes"):
        transducer_losses(
            given.encoder, given.decoder, given.head, given.targets, given.frames, given.tokens,
            blank=BLANK, num_vocabulary=VOCABULARY, durations=None, activation=activation,
        )  # fmt: skip


def test_dropout_keeps_the_mean_and_drops_the_part_it_says() -> None:
    torch.manual_seed(0)
    seen: list[torch.Tensor] = []

    class Ones(nn.Linear):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            seen.append(hidden)
            return super().forward(hidden)

    transducer_losses(
        torch.ones(1, 100, 64), torch.zeros(1, 6, 64), Ones(64, VOCABULARY), torch.zeros(1, 5, dtype=torch.long),
        torch.tensor([100]), torch.tensor([5]), blank=BLANK, num_vocabulary=VOCABULARY, durations=None, dropout=0.2,
    )  # fmt: skip
    hidden = torch.cat(seen).view(100, 6, 64)
    assert set(hidden.unique().tolist()) == {0.0, 1.25}
    assert hidden.mean() == pytest.approx(1, abs=0.02)
    # neighbours in either direction are dropped independently
    for one, other in ((hidden[1:], hidden[:-1]), (hidden[:, 1:], hidden[:, :-1])):
        assert ((one == 0) & (other == 0)).float().mean() == pytest.approx(0.04, abs=0.01)


def test_fast_emit_enlarges_what_writes_tokens() -> None:
    given = problem([4], [2], None)
    torch.testing.assert_close(given.losses(fast_emit=0.5), 1.5 * given.losses())
    plain, enlarged, double = (
        torch.autograd.grad(given.losses(fast_emit=part).sum(), given.encoder)[0] for part in (0.0, 0.5, 1.0)
    )
    assert not torch.allclose(plain, enlarged)
    torch.testing.assert_close(double - enlarged, enlarged - plain)


@pytest.mark.parametrize("durations", [(), (0,), (-1, 2)], ids=str)
def test_durations_that_lead_nowhere_are_refused(durations: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="must be above 0"):
        problem([2], [1], durations).losses()


class LargestTensor(TorchDispatchMode):
    """Watches how many elements the largest tensor has."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return result


def test_the_table_of_all_logits_never_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "CHUNK_ELEMENTS", 20_000)
    width, vocabulary, frames, tokens = 8, 500, 50, 20
    head = nn.Linear(width, vocabulary + 3)
    encoder = torch.randn(3, frames, width, requires_grad=True)
    decoder = torch.randn(3, tokens + 1, width, requires_grad=True)
    with LargestTensor() as largest:
        losses = transducer_losses(
            encoder, decoder, head, torch.randint(0, vocabulary - 1, (3, tokens)),
            torch.full((3,), frames), torch.full((3,), tokens),
            blank=vocabulary - 1, num_vocabulary=vocabulary, durations=(0, 1, 2),
        )  # fmt: skip
        losses.sum().backward()
    # both directions of the lattice: 6 clips, 3 durations of 2 kinds, 71 + 3 diagonals, 22 states
    assert largest.elements <= 6 * 3 * 2 * 74 * 22
    assert 3 * frames * (tokens + 1) * vocabulary > 20 * largest.elements
