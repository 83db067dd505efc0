"""Models that NeMo builds at random, saved by NeMo, for comparing ours with NeMo's own numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from tests.tiny_nemo import NUM_PROMPTS, PROMPTS, SENTENCES, STREAMING_SETTINGS, TAGS, train_sentencepiece

import nemo.collections.asr as nemo_asr  # isort: skip
from nemo.collections.asr.models.rnnt_bpe_models_prompt import EncDecRNNTBPEModelWithPrompt  # isort: skip

CLASSES = {
    "ctc": nemo_asr.models.EncDecCTCModelBPE,
    "rnnt": nemo_asr.models.EncDecRNNTBPEModel,
    "tdt": nemo_asr.models.EncDecRNNTBPEModel,
    "hybrid-rnnt": nemo_asr.models.EncDecHybridRNNTCTCBPEModel,
    "hybrid-tdt": nemo_asr.models.EncDecHybridRNNTCTCBPEModel,
    "prompted": EncDecRNNTBPEModelWithPrompt,
    "canary": nemo_asr.models.EncDecMultiTaskModel,
}
# of encoders that stream
STREAMING = {f"encoder__{name}": value for name, value in STREAMING_SETTINGS.items()} | {
    "preprocessor__normalize": "NA"
}
MODULES = "nemo.collections.asr.modules"
DURATIONS = [0, 1, 2, 3, 4]


def build(kind: str, folder: Path, *, spm: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Build a model of a kind with random weights and statistics and save it; in `changes`, __ stands for dots."""
    torch.manual_seed(sum(map(ord, kind + repr(sorted(changes)))))
    options = ({"whole": TAGS} if kind == "prompted" else {}) | (spm or {})
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True)
    (tokenizer / "tokenizer.model").write_bytes(train_sentencepiece(canary=kind == "canary", **options))
    (tokenizer / "vocab.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    config = OmegaConf.create(copy.deepcopy(configuration(kind, tokenizer)))
    for name, value in changes.items():
        OmegaConf.update(config, name.replace("__", "."), value, force_add=True)
    model = CLASSES[kind](cfg=config)
    randomize(model)
    path = folder / f"{kind}.nemo"
    model.save_to(str(path))
    return path


def randomize(model: nn.Module) -> None:
    """Give weights and batch statistics values that matter; the blank's embedding stays zero."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.3, 2.0)
        for name, parameter in model.named_parameters():
            if "bias" in name or "norm" in name:
                # what attention adds to its queries is zero at first and small in its effect
                parameter.add_((2.0 if "pos_bias" in name else 0.2) * torch.randn_like(parameter))


def configuration(kind: str, tokenizer: Path) -> dict[str, Any]:
    encoder = {
        "_target_": f"{MODULES}.ConformerEncoder", "feat_in": 80, "feat_out": -1, "n_layers": 2, "d_model": 32,
        "subsampling": "dw_striding", "subsampling_factor": 8, "subsampling_conv_channels": 16,
        "causal_downsampling": False, "ff_expansion_factor": 4, "self_attention_model": "rel_pos", "n_heads": 4,
        "att_context_size": [-1, -1], "xscaling": False, "untie_biases": True, "pos_emb_max_len": 500,
        "conv_kernel_size": 9, "conv_norm_type": "batch_norm", "use_bias": True,
        "dropout": 0.1, "dropout_pre_encoder": 0.1, "dropout_emb": 0.0, "dropout_att": 0.1,
    }  # fmt: skip
    config: dict[str, Any] = {
        "sample_rate": 16000,
        "compute_eval_loss": False,
        "log_prediction": False,
        "validation_ds": None,
        "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        "preprocessor": {
            "_target_": f"{MODULES}.AudioToMelSpectrogramPreprocessor", "sample_rate": 16000,
            "normalize": "per_feature", "window_size": 0.025, "window_stride": 0.01, "window": "hann", "features": 80,
            "n_fft": 512, "frame_splicing": 1, "dither": 1e-5, "pad_to": 0,
        },
        "encoder": encoder,
        "optim": {"name": "adamw", "lr": 0.001},
    }  # fmt: skip
    if kind == "canary":
        canary = "nemo.collections.common.tokenizers.canary_tokenizer.CanaryBPETokenizer"
        config["tokenizer"]["custom_tokenizer"] = {"_target_": canary}
        return config | canary_parts()
    head = {"_target_": f"{MODULES}.ConvASRDecoder", "feat_in": encoder["d_model"], "num_classes": -1, "vocabulary": []}
    greedy = {"strategy": "greedy", "greedy": {}}
    if kind == "ctc":
        return config | {"ctc_reduction": "mean_batch", "decoder": head, "decoding": greedy}
    tdt = kind.endswith("tdt")
    config |= {
        "model_defaults": {
            "enc_hidden": encoder["d_model"], "pred_hidden": 24, "joint_hidden": 24,
            **({"tdt_durations": DURATIONS, "num_tdt_durations": len(DURATIONS)} if tdt else {}),
        },
        "decoder": {
            "_target_": f"{MODULES}.RNNTDecoder", "normalization_mode": None, "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {"pred_hidden": 24, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.0},
        },
        "joint": {
            "_target_": f"{MODULES}.RNNTJoint", "log_softmax": None, "preserve_memory": False, "fuse_loss_wer": False,
            "jointnet": {
                "joint_hidden": 24, "activation": "relu", "dropout": 0.0,
                "encoder_hidden": encoder["d_model"], "pred_hidden": 24,
            },
            **({"num_extra_outputs": len(DURATIONS)} if tdt else {}),
        },
        "decoding": {
            "strategy": "greedy_batch",
            "greedy": {"max_symbols": 10, "loop_labels": True, "use_cuda_graph_decoder": False},
            **({"model_type": "tdt", "durations": DURATIONS} if tdt else {}),
        },
        "loss": {"loss_name": "tdt", "tdt_kwargs": {"durations": DURATIONS, "sigma": 0.02, "omega": 0.1}}
        if tdt
        else {"loss_name": "pytorch"},
    }  # fmt: skip
    if kind == "prompted":
        config["num_prompts"] = NUM_PROMPTS
        config["model_defaults"] |= {
            "initialize_prompt_feature": True, "num_prompts": NUM_PROMPTS, "prompt_dictionary": dict(PROMPTS),
        }  # fmt: skip
    if kind.startswith("hybrid"):
        config["aux_ctc"] = {"ctc_loss_weight": 0.3, "use_cer": False, "decoder": head, "decoding": greedy}
    return config


def canary_parts() -> dict[str, Any]:
    return {
        "restore_timestamps_model": False,
        "prompt_format": "canary2",
        "prompt_defaults": [
            {
                "role": "user",
                "slots": {
                    "decodercontext": "", "source_lang": "<|en|>", "target_lang": "<|en|>",
                    "emotion": "<|emo:undefined|>", "pnc": "<|pnc|>", "itn": "<|noitn|>",
                    "diarize": "<|nodiarize|>", "timestamp": "<|notimestamp|>",
                },
            }
        ],
        "model_defaults": {"asr_enc_hidden": 32, "lm_enc_hidden": 32, "lm_dec_hidden": 32},
        "transf_encoder": {
            "_target_": f"{MODULES}.transformer.transformer_encoders.TransformerEncoder",
            "num_layers": 0, "hidden_size": 32, "inner_size": 64, "num_attention_heads": 4,
        },
        "transf_decoder": {
            "_target_": f"{MODULES}.transformer.get_nemo_transformer", "model_name": None, "pretrained": False,
            "encoder": None, "pre_ln_final_layer_norm": True,
            "config_dict": {
                "max_sequence_length": 96, "num_token_types": 0, "embedding_dropout": 0.1,
                "learn_positional_encodings": False, "hidden_size": 32, "inner_size": 64, "num_layers": 2,
                "num_attention_heads": 4, "ffn_dropout": 0.1, "attn_score_dropout": 0.1, "attn_layer_dropout": 0.1,
                "hidden_act": "relu", "pre_ln": True, "vocab_size": None,
            },
        },
        "head": {
            "_target_": "nemo.collections.asr.parts.submodules.token_classifier.TokenClassifier", "num_layers": 1,
            "activation": "relu", "log_softmax": True, "hidden_size": 32, "num_classes": None, "dropout": 0.1,
            "use_transformer_init": True,
        },
        "decoding": {"strategy": "beam", "return_best_hypothesis": True, "beam": {"beam_size": 1, "len_pen": 0.0}},
        "loss": {
            "_target_": "nemo.collections.common.losses.smoothed_cross_entropy.SmoothedCrossEntropyLoss",
            "label_smoothing": 0.0, "pad_id": 2,
        },
    }  # fmt: skip
