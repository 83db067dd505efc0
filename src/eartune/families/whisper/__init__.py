"""OpenAI Whisper.

load            hub id, folder or .pt -> WhisperModel
folder_checks   consistency checks of the files of a folder
openai          OpenAI's .pt checkpoints as Hugging Face networks
openai_export   Hugging Face networks as OpenAI's .pt checkpoints
ctranslate2     folders for faster-whisper
onnx            ONNX folders in the layout of Optimum
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
no_speech       detection of clips without speech and of repetitive text
greedy          encoder states -> tokens; finished rows leave the batch
model           WhisperModel: the family's side of the contract
"""
