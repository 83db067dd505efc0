"""The lattice's kernel against its loop, in Triton's interpreter where there is no GPU."""

from importlib.util import find_spec

import pytest
import torch

from eartune.families.parakeet.transducer import lattice
from eartune.families.parakeet.transducer.lattice import Lattice, OnGrid

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed here")
@pytest.mark.parametrize("durations", [(), (0, 1, 2, 3, 4), (1, 2), (0, 2, 5)], ids=str)
def test_the_kernel_fills_the_same_diagonals(durations: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    # it says how it runs when it is imported
    from eartune.families.parakeet.transducer.lattice_kernel import fill_diagonals  # noqa: PLC0415

    torch.manual_seed(0)
    frames, tokens = torch.tensor([9, 1, 6, 4], device=DEVICE), torch.tensor([4, 0, 2, 3], device=DEVICE)
    scores = OnGrid(*(torch.randn(4, 9, 5, *rest, device=DEVICE).double() - 1 for rest in ((), (), (len(durations),))))
    given = Lattice(durations, frames, tokens)
    monkeypatch.setattr(lattice, "can_compile_kernels", lambda: False)
    expected, expected_steps = given.likelihoods_and_steps(scores)
    monkeypatch.setattr(lattice, "_fill_diagonals", fill_diagonals)
    found, steps = given.likelihoods_and_steps(scores)
    assert found.isfinite().any()
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    for one, other in zip(vars(steps).values(), vars(expected_steps).values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
