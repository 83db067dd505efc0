"""The process in which sherpa-onnx runs: `python sherpa_onnx_worker.py SETTINGS`, which is JSON.

SETTINGS: `kind` of model, its `files`, `features_size`, `num_threads` and `provider`.
"""

import json
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import sherpa_onnx

from eartune.audio import SAMPLE_RATE_HZ
from eartune.runtimes.worker_loop import Decode, serve_requests


def load(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Decode]:
    """Open a recognizer; requests have the `languages` of a model with languages, source and target."""
    recognizer = _recognizer(settings)

    def decode(samples: Any, request: Mapping[str, Any]) -> dict[str, Any]:
        if request["languages"]:
            config = recognizer.config
            config.model_config.canary.src_lang, config.model_config.canary.tgt_lang = request["languages"]
            recognizer.recognizer.set_config(config)
        stream = recognizer.create_stream()
        stream.accept_waveform(SAMPLE_RATE_HZ, samples)
        recognizer.decode_stream(stream)
        found = stream.result
        return {
            "text": found.text,
            "tokens": list(found.tokens),
            "timestamps": list(found.timestamps),
            "durations": list(found.durations),
        }

    return {}, decode


def _recognizer(settings: Mapping[str, Any]) -> Any:
    common = {"num_threads": settings["num_threads"], "provider": settings["provider"]}
    recognizer, files = sherpa_onnx.OfflineRecognizer, settings["files"]
    if settings["kind"] == "nemo-conformer-ctc":
        # only for this kind it does not read the number of mel bins from the graph
        return recognizer.from_nemo_ctc(*files, feature_dim=settings["features_size"], **common)
    if settings["kind"] == "nemo-conformer-aed":
        return recognizer.from_nemo_canary(*files, **common)
    return recognizer.from_transducer(*files, model_type="nemo_transducer", **common)


if __name__ == "__main__":
    serve_requests(partial(load, json.loads(sys.argv[1])))
