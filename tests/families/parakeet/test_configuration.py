"""What an archive's configuration says, as one description."""

from pathlib import Path

import pytest

from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.features import FeatureSettings
from eartune.families._nemo.tokenizer import TokenizerFiles
from eartune.families.parakeet.configuration import read_spec
from eartune.families.parakeet.vocabulary import extend_network
from eartune.families.parakeet.weights import from_nemo
from tests.tiny_nemo import STREAMING, TOKENIZER


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ctc", ("ctc", "parakeet_ctc")),
        ("rnnt", ("transducer", "parakeet_rnnt")),
        ("tdt", ("transducer", "parakeet_tdt")),
        ("hybrid", ("hybrid", "parakeet_tdt")),
        ("streaming", ("transducer", "nemotron_asr_streaming")),
        ("prompted", ("prompted", "nemotron3_5_asr")),
    ],
)
def test_a_description_holds_what_model_features_and_tokenizer_are(
    kind: str, expected: tuple[str, str], tiny_nemo: dict[str, Path]
) -> None:
    spec = read_spec(read_archive(tiny_nemo[kind]))
    assert (spec.kind, spec.network.model_type) == expected
    assert spec.streams == (kind in STREAMING)
    assert spec.features == FeatureSettings(80, normalize=kind not in STREAMING)
    assert len(spec.tokenizer.pieces) == spec.network.vocab_size - 1
    assert spec.tokenizer.files == TokenizerFiles(TOKENIZER, None, None)


def test_a_file_is_interpreted_once_and_networks_do_not_change_its_description(tiny_nemo: dict[str, Path]) -> None:
    spec = read_spec(read_archive(tiny_nemo["hybrid"]))
    before = spec.network.to_dict()
    network = from_nemo(spec)
    extend_network(network, 2)
    assert network.config.vocab_size == spec.network.vocab_size + 2
    assert read_spec(read_archive(tiny_nemo["hybrid"])) is spec
    assert spec.network.to_dict() == before
