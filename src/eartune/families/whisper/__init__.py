"""OpenAI Whisper.

load            hub id, folder or .pt -> WhisperModel
folder_checks   consistency checks of the files of a folder
settings        generation_config.json
openai          OpenAI's .pt checkpoints as Hugging Face networks
openai_export   Hugging Face networks as OpenAI's .pt checkpoints
ctranslate2     folders for faster-whisper
onnx            ONNX folders in the layout of Optimum, and their runtime
hf_runtime      Hugging Face folders in transformers
usage           code that runs exports
openai_compat   assumptions of other programs about a network
tokenizer       OpenAI's vocabulary files as a Hugging Face tokenizer
features        waveforms -> log-mel
encoder         the encoder for windows shorter than 30 s
attention       attention over short windows on a CPU
labels          transcripts -> decoder inputs and targets
sentences       sentence times within a clip
symbols         special tokens and noise marks in transcripts
remarks         remarks on unusual utterances that are trained on
loss            decoder states -> the loss of the targets
decode          clips and long recordings -> text
timestamps      rules of timestamp tokens
no_speech       detection of clips without speech and of repetitive text
greedy          encoder states -> tokens; finished rows leave the batch
model           WhisperModel: the family's side of the contract
"""

from __future__ import annotations

from eartune.families.whisper import usage
from eartune.family import NO_FEATURE_ENCODER, AppExport, Family, Format, SingleFile

GGML_KINDS = ("f16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
CTRANSLATE2_KINDS = (
    "float16",
    "float32",
    "bfloat16",
    "int16",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
)
_MIMIR_LINE = """const CUSTOM_MODEL_PATH: &str = "~/Library/Application Support/mimir/models/{file}";
// Rust does not replace ~ by itself: where the code does not, write the whole path of the home folder"""

FAMILY = Family(
    name="whisper",
    title="Whisper",
    model_types=("whisper",),
    words=("whisper",),
    hub_owner="openai",
    example="openai/whisper-small",
    max_duration_s=30.0,
    single_file=SingleFile("openai", ".pt", "an OpenAI .pt file"),
    tasks=("transcribe", "translate"),
    refused={
        "extend_vocabulary": "{title} has a token for every byte, so no character is missing",
        "freeze_feature_encoder": NO_FEATURE_ENCODER,
        "new_vocabulary": "{title} has a token for every byte, so it needs no other vocabulary",
    },
    formats={
        "ggml": Format(
            "one file for whisper.cpp and whisper-rs",
            GGML_KINDS,
            "eartune.runtimes.whisper_cpp:WhisperCpp",
            usage.ggml,
            file_name="ggml-model-{quantization}.bin",
        ),
        "ctranslate2": Format(
            "a folder for faster-whisper",
            CTRANSLATE2_KINDS,
            "eartune.runtimes.faster_whisper:FasterWhisper",
            usage.ctranslate2,
        ),
        "onnx": Format(
            "a folder for ONNX Runtime, laid out as Optimum's",
            ("float32", "float16", "int8"),
            "eartune.families.whisper.onnx.runtime:OnnxWhisper",
            usage.onnx,
            marks=("encoder_model.onnx",),
        ),
        "openai": Format(
            "a .pt file for openai-whisper",
            ("float16", "float32"),
            "eartune.runtimes.openai_whisper:OpenAIWhisper",
            usage.openai,
            file_name="model-{quantization}.pt",
        ),
        "hf": Format(
            "a Hugging Face folder",
            ("float32",),
            "eartune.families.whisper.hf_runtime:TransformersWhisper",
            usage.hf,
            reads_back=True,
        ),
    },
    apps={
        "mimir": AppExport(
            "ggml", "whisper-{language}-ggml.bin", "src-tauri/src/transcription_service.rs", "rust", _MIMIR_LINE
        )
    },
    is_assumed=True,
)
