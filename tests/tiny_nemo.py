"""Tiny .nemo files for tests, written without NeMo: its layout, its names and shapes of weights, random values."""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import yaml

SENTENCES = (
    "the pump is running", "close the second valve", "report to the night shift", "check the oil", "it is cold",
    "sieben Hühner fressen süße Äpfel", "zwölf große Vögel fliegen über den Fluss", "насос работает громко",
    "закройте второй клапан", "проверьте масло и давление", "l'élève a été très étonné", "où est la clé à molette",
    "42 bolts, 17 nuts; 3.5 mm!", "Why not? Because it's late.", "the quick brown fox jumps over the lazy dog",
)  # fmt: skip
CANARY_SPECIALS = [
    "<|nospeech|>", "<pad>", "<|endoftext|>", "<|startoftranscript|>", "<|pnc|>", "<|nopnc|>", "<|startofcontext|>",
    "<|itn|>", "<|noitn|>", "<|timestamp|>", "<|notimestamp|>", "<|diarize|>", "<|nodiarize|>", "<|spkchange|>",
    "<|audioseparator|>", "<|emo:undefined|>", "<|emo:neutral|>", "<|emo:happy|>", "<|emo:sad|>", "<|emo:angry|>",
    "<|unklang|>", "<|en|>", "<|de|>", "<|fr|>", "<|ru|>", *(f"<|{number}|>" for number in range(20)),
]  # fmt: skip
HIDDEN, INNER, CHANNELS, NUM_MELS, KERNEL, JOINT_HIDDEN, NUM_LAYERS = 16, 64, 8, 80, 9, 12, 2
DURATIONS = [0, 1, 2, 3, 4]
MODELS = {
    "ctc": "ctc_bpe_models.EncDecCTCModelBPE",
    "rnnt": "rnnt_bpe_models.EncDecRNNTBPEModel",
    "tdt": "rnnt_bpe_models.EncDecRNNTBPEModel",
    "hybrid": "hybrid_rnnt_ctc_bpe_models.EncDecHybridRNNTCTCBPEModel",
    "streaming": "rnnt_bpe_models.EncDecRNNTBPEModel",
    "prompted": "rnnt_bpe_models_prompt.EncDecRNNTBPEModelWithPrompt",
    "canary": "aed_multitask_models.EncDecMultiTaskModel",
}
# an encoder that streams; contexts in frames behind and ahead
STREAMING = ("streaming", "prompted")
STREAMING_SETTINGS = {
    "causal_downsampling": True, "att_context_style": "chunked_limited", "att_context_size": [[8, 3], [8, 0], [8, 1]],
    "conv_norm_type": "layer_norm", "conv_context_size": "causal",
}  # fmt: skip
# of nemotron-3.5-asr; the numbers of languages, and the tags that end its texts
PROMPTS = {"en-US": 0, "en": 0, "en-GB": 1, "de-DE": 2, "de": 2, "fr-FR": 3, "ru-RU": 4, "auto": 5}
TAGS = ("<en-US>", "<en-GB>", "<de-DE>", "<ru-RU>")
NUM_PROMPTS = 6
TOKENIZER = "0123456789abcdef_tokenizer.model"


@cache
def train_sentencepiece(
    *,
    canary: bool = False,
    vocab_size: int = 160,
    model_type: str = "bpe",
    whole: tuple[str, ...] = (),
    **options: Any,
) -> bytes:
    """Train a SentencePiece model on the sentences, as NeMo's scripts do, with pieces that are `whole` in any text.

    Canary's begins with its special tokens.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3), model_writer=model, vocab_size=vocab_size, model_type=model_type,
        hard_vocab_limit=False, bos_id=-1, eos_id=-1, character_coverage=1.0, shuffle_input_sentence=False,
        minloglevel=2, user_defined_symbols=[*(CANARY_SPECIALS if canary else ()), *whole], **options,
    )  # fmt: skip
    return model.getvalue()


def write_tiny_nemo(
    path: Path,
    kind: str,
    *,
    weights: dict[str, torch.Tensor | None] | None = None,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Path:
    """Write a random model of a kind in MODELS.

    `changes` are dotted settings, with __ for the dots; `weights` replace, add or (None) leave out.
    """
    tokenizer = train_sentencepiece(canary=kind == "canary", whole=TAGS if kind == "prompted" else ())
    config = configuration(kind, num_tokens(tokenizer))
    for name, value in changes.items():
        # a key may itself begin with an underscore: _target_
        *sections, key = re.split(r"(?<!_)__", name)
        values = config
        for section in sections:
            values = values.setdefault(section, {})
        values[key] = value
    found = random_weights(kind, num_tokens(tokenizer)) | (weights or {})
    kept = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in found.items()
        if value is not None
    }
    write_members(path, members(config, kept, tokenizer))
    return path


def members(config: dict[str, Any], weights: dict[str, torch.Tensor], tokenizer: bytes) -> dict[str, bytes]:
    """Return what a .nemo file holds."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "model_weights.ckpt"
        torch.save(weights, checkpoint)
        content = checkpoint.read_bytes()
    return {
        f"./{TOKENIZER}": tokenizer,
        "./model_config.yaml": yaml.safe_dump(config, sort_keys=False).encode(),
        "./model_weights.ckpt": content,
    }


def write_members(path: Path, contents: dict[str, bytes], *, compression: str = "") -> None:
    """Write a tar with a directory entry first, as NeMo does."""
    mode: Any = f"w:{compression}"
    with tarfile.open(path, mode) as tar:
        folder = tarfile.TarInfo("./")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def num_tokens(tokenizer: bytes) -> int:
    return sentencepiece.SentencePieceProcessor(model_proto=tokenizer).get_piece_size()


def configuration(kind: str, num_classes: int) -> dict[str, Any]:
    """Return model_config.yaml of a kind, with what NeMo writes and we read."""
    modules = "nemo.collections.asr.modules"
    head = {"_target_": f"{modules}.ConvASRDecoder", "feat_in": HIDDEN, "num_classes": num_classes}
    config: dict[str, Any] = {
        "sample_rate": 16000,
        "tokenizer": {"dir": "tok", "type": "bpe", "model_path": f"nemo:{TOKENIZER}"},
        "preprocessor": {
            "_target_": f"{modules}.AudioToMelSpectrogramPreprocessor", "sample_rate": 16000,
            "normalize": "per_feature", "window_size": 0.025, "window_stride": 0.01, "window": "hann",
            "features": NUM_MELS, "n_fft": 512, "log": True, "frame_splicing": 1, "dither": 1e-05, "pad_to": 0,
        },
        "encoder": {
            "_target_": f"{modules}.ConformerEncoder", "feat_in": NUM_MELS, "feat_out": -1, "n_layers": NUM_LAYERS,
            "d_model": HIDDEN, "subsampling": "dw_striding", "subsampling_factor": 8,
            "subsampling_conv_channels": CHANNELS, "causal_downsampling": False, "ff_expansion_factor": 4,
            "self_attention_model": "rel_pos", "n_heads": 4, "att_context_size": [-1, -1], "xscaling": False,
            "untie_biases": True, "pos_emb_max_len": 500, "conv_kernel_size": KERNEL, "conv_norm_type": "batch_norm",
            "use_bias": True, "dropout": 0.1, "dropout_pre_encoder": 0.1, "dropout_emb": 0.0, "dropout_att": 0.1,
        },
        "target": f"nemo.collections.asr.models.{MODELS[kind]}",
        "nemo_version": "3.0.0",
    }  # fmt: skip
    if kind in STREAMING:
        config["encoder"] |= STREAMING_SETTINGS
        config["preprocessor"]["normalize"] = "NA"
    if kind == "prompted":
        config["num_prompts"] = NUM_PROMPTS
        config["model_defaults"] = {
            "enc_hidden": HIDDEN, "pred_hidden": JOINT_HIDDEN, "joint_hidden": JOINT_HIDDEN,
            "initialize_prompt_feature": True, "num_prompts": NUM_PROMPTS, "prompt_dictionary": dict(PROMPTS),
        }  # fmt: skip
    if kind == "ctc":
        return config | {"decoder": head}
    if kind == "canary":
        return config | canary_parts(modules, num_classes)
    tdt = kind in ("tdt", "hybrid")
    config["decoder"] = {
        "_target_": f"{modules}.RNNTDecoder", "normalization_mode": None, "random_state_sampling": False,
        "blank_as_pad": True, "vocab_size": num_classes,
        "prednet": {"pred_hidden": JOINT_HIDDEN, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.2},
    }  # fmt: skip
    config["joint"] = {
        "_target_": f"{modules}.RNNTJoint", "log_softmax": None, "preserve_memory": False, "fuse_loss_wer": False,
        "num_classes": num_classes, "vocabulary": [], "num_extra_outputs": len(DURATIONS) if tdt else 0,
        "jointnet": {
            "joint_hidden": JOINT_HIDDEN, "activation": "relu", "dropout": 0.2,
            "encoder_hidden": HIDDEN, "pred_hidden": JOINT_HIDDEN,
        },
    }  # fmt: skip
    tdt_loss = {"loss_name": "tdt", "tdt_kwargs": {"durations": DURATIONS, "sigma": 0.02, "omega": 0.1}}
    config["loss"] = tdt_loss if tdt else {"loss_name": "default"}
    if kind == "hybrid":
        config["aux_ctc"] = {"ctc_loss_weight": 0.3, "use_cer": False, "decoder": head}
    return config


def canary_parts(modules: str, num_classes: int) -> dict[str, Any]:
    return {
        "prompt_format": "canary2",
        "model_defaults": {"asr_enc_hidden": HIDDEN, "lm_enc_hidden": HIDDEN, "lm_dec_hidden": HIDDEN},
        "transf_encoder": {"num_layers": 0, "hidden_size": HIDDEN, "inner_size": INNER},
        "transf_decoder": {
            "_target_": f"{modules}.transformer.get_nemo_transformer", "model_name": None, "pretrained": False,
            "encoder": None, "pre_ln_final_layer_norm": True,
            "config_dict": {
                "max_sequence_length": 64, "num_token_types": 0, "embedding_dropout": 0.1,
                "learn_positional_encodings": False, "hidden_size": HIDDEN, "inner_size": INNER,
                "num_layers": NUM_LAYERS, "num_attention_heads": 4, "ffn_dropout": 0.1, "attn_score_dropout": 0.1,
                "attn_layer_dropout": 0.1, "hidden_act": "relu", "pre_ln": True, "vocab_size": "None",
            },
        },
        "head": {
            "_target_": "nemo.collections.asr.parts.submodules.token_classifier.TokenClassifier", "num_layers": 1,
            "activation": "relu", "log_softmax": True, "hidden_size": HIDDEN, "num_classes": num_classes,
            "dropout": 0.1, "use_transformer_init": True,
        },
    }  # fmt: skip


def random_weights(kind: str, num_classes: int) -> dict[str, torch.Tensor]:
    """Return random weights under NeMo's names; Canary's head is its token embedding."""
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes(kind, num_classes).items()}
    for name, value in weights.items():
        if name.endswith("running_var"):
            value.abs_().add_(0.5)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(7)
    if kind not in ("ctc", "canary"):
        weights["decoder.prediction.embed.weight"][-1] = 0
    if kind == "canary":
        weights["log_softmax.mlp.layer0.weight"] = weights["transf_decoder._embedding.token_embedding.weight"]
    return weights


def shapes(kind: str, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes as NeMo 3.0 saves them, without the buffers it computes."""
    found: dict[str, tuple[int, ...]] = {}

    def linear(name: str, rows: int, columns: int, *kernel: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (rows, columns, *kernel), (rows,)

    def norm(name: str) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (HIDDEN,), (HIDDEN,)

    # three causal convolutions leave one bin more
    linear("encoder.pre_encode.out", HIDDEN, CHANNELS * (NUM_MELS // 8 + (kind in STREAMING)))
    linear("encoder.pre_encode.conv.0", CHANNELS, 1, 3, 3)
    for number in (2, 5):
        linear(f"encoder.pre_encode.conv.{number}", CHANNELS, 1, 3, 3)
        linear(f"encoder.pre_encode.conv.{number + 1}", CHANNELS, CHANNELS, 1, 1)
    for layer in (f"encoder.layers.{number}" for number in range(NUM_LAYERS)):
        for name in ("feed_forward1", "conv", "self_att", "feed_forward2", "out"):
            norm(f"{layer}.norm_{name}")
        for name in ("feed_forward1", "feed_forward2"):
            linear(f"{layer}.{name}.linear1", INNER, HIDDEN)
            linear(f"{layer}.{name}.linear2", HIDDEN, INNER)
        linear(f"{layer}.conv.pointwise_conv1", 2 * HIDDEN, HIDDEN, 1)
        linear(f"{layer}.conv.depthwise_conv", HIDDEN, 1, KERNEL)
        linear(f"{layer}.conv.pointwise_conv2", HIDDEN, HIDDEN, 1)
        norm(f"{layer}.conv.batch_norm")
        if kind not in STREAMING:
            found |= {f"{layer}.conv.batch_norm.running_{name}": (HIDDEN,) for name in ("mean", "var")}
            found[f"{layer}.conv.batch_norm.num_batches_tracked"] = ()
        for name in ("q", "k", "v", "out"):
            linear(f"{layer}.self_attn.linear_{name}", HIDDEN, HIDDEN)
        found[f"{layer}.self_attn.linear_pos.weight"] = (HIDDEN, HIDDEN)
        found |= {f"{layer}.self_attn.pos_bias_{name}": (4, HIDDEN // 4) for name in "uv"}
    if kind == "ctc":
        linear("decoder.decoder_layers.0", num_classes + 1, HIDDEN, 1)
    elif kind == "canary":
        size = 8 * -(-num_classes // 8)
        found["transf_decoder._embedding.token_embedding.weight"] = (size, HIDDEN)
        norm("transf_decoder._embedding.layer_norm")
        norm("transf_decoder._decoder.final_layer_norm")
        for layer in (f"transf_decoder._decoder.layers.{number}" for number in range(NUM_LAYERS)):
            for place in "123":
                norm(f"{layer}.layer_norm_{place}")
            for part in ("first", "second"):
                for name in ("query_net", "key_net", "value_net", "out_projection"):
                    linear(f"{layer}.{part}_sub_layer.{name}", HIDDEN, HIDDEN)
            linear(f"{layer}.third_sub_layer.dense_in", INNER, HIDDEN)
            linear(f"{layer}.third_sub_layer.dense_out", HIDDEN, INNER)
        linear("log_softmax.mlp.layer0", size, HIDDEN)
    else:
        found["decoder.prediction.embed.weight"] = (num_classes + 1, JOINT_HIDDEN)
        for name in ("ih", "hh"):
            found[f"decoder.prediction.dec_rnn.lstm.weight_{name}_l0"] = (4 * JOINT_HIDDEN, JOINT_HIDDEN)
            found[f"decoder.prediction.dec_rnn.lstm.bias_{name}_l0"] = (4 * JOINT_HIDDEN,)
        linear("joint.pred", JOINT_HIDDEN, JOINT_HIDDEN)
        linear("joint.enc", JOINT_HIDDEN, HIDDEN)
        linear(
            "joint.joint_net.2", num_classes + 1 + (len(DURATIONS) if kind in ("tdt", "hybrid") else 0), JOINT_HIDDEN
        )
        if kind == "prompted":
            linear("prompt_kernel.0", 2 * HIDDEN, HIDDEN + NUM_PROMPTS)
            linear("prompt_kernel.2", HIDDEN, 2 * HIDDEN)
        if kind == "hybrid":
            linear("ctc_decoder.decoder_layers.0", num_classes + 1, HIDDEN, 1)
    return found
