"""A model of random weights: `python -m benchmarks.finetuning.build KIND SIZE TEXTS.txt FOLDER`, with NeMo's Python."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from omegaconf import OmegaConf

from tests.nemo.judge.models import CLASSES, configuration
from tests.tiny_nemo import CANARY_SPECIALS

NUM_VOCABULARY = 1024
WIDTHS = {"middle": (256, 8, 4), "miniature": (32, 2, 1)}
_DECODER = "transf_decoder.config_dict"


def build(kind: str, size: str, texts: Path, folder: Path) -> Path:
    """Build and save `folder`/KIND.nemo, with a tokenizer trained on the lines of `texts`."""
    torch.manual_seed(0)
    tokenizer = folder / f"{kind}-tokenizer"
    tokenizer.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts),
        model_prefix=str(tokenizer / "tokenizer"),
        vocab_size=NUM_VOCABULARY,
        model_type="bpe",
        hard_vocab_limit=False,
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
        user_defined_symbols=CANARY_SPECIALS if kind == "canary" else [],
    )
    (tokenizer / "vocab.txt").write_text(texts.read_text(encoding="utf-8"), encoding="utf-8")
    config = OmegaConf.create(copy.deepcopy(configuration(kind, tokenizer)))
    for name, value in changes(kind, size).items():
        OmegaConf.update(config, name, value, force_add=True)
    path = folder / f"{kind}.nemo"
    CLASSES[kind](cfg=config).save_to(str(path))
    return path


def changes(kind: str, size: str) -> dict[str, Any]:
    """Return what differs from the tests' tiny models; the joint is fused with its loss, as in NeMo's recipes."""
    width, layers, decoder_layers = WIDTHS[size]
    changed: dict[str, Any] = {
        "encoder.d_model": width,
        "encoder.n_layers": layers,
        "encoder.subsampling_conv_channels": width,
        "encoder.pos_emb_max_len": 5000,
    }
    if kind == "ctc":
        return changed | {"decoder.feat_in": width}
    if kind == "rnnt":
        places = ("model_defaults.pred_hidden", "model_defaults.joint_hidden", "decoder.prednet.pred_hidden")
        changed |= dict.fromkeys([*places, "joint.jointnet.joint_hidden", "joint.jointnet.pred_hidden"], width)
        changed |= dict.fromkeys(["model_defaults.enc_hidden", "joint.jointnet.encoder_hidden"], width)
        return changed | {
            "joint.fuse_loss_wer": True,
            "joint.fused_batch_size": 4,
            "loss.loss_name": "warprnnt_numba",
        }
    hidden = ("asr_enc_hidden", "lm_enc_hidden", "lm_dec_hidden")
    changed |= {f"model_defaults.{name}": width for name in hidden}
    changed |= dict.fromkeys(["transf_encoder.hidden_size", f"{_DECODER}.hidden_size", "head.hidden_size"], width)
    changed |= dict.fromkeys(["transf_encoder.inner_size", f"{_DECODER}.inner_size"], 4 * width)
    return changed | {f"{_DECODER}.num_layers": decoder_layers, f"{_DECODER}.max_sequence_length": 512}


if __name__ == "__main__":
    build(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
