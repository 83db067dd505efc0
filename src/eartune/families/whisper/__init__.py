"""OpenAI Whisper.

load            hub id, folder or .pt -> WhisperModel
folder_checks   whether the files of a folder belong together
openai          OpenAI's .pt checkpoints as Hugging Face networks
openai_export   the same, written
ctranslate2     folders for faster-whisper
onnx            folders in ONNX, laid out as Optimum's
standard        what other programs assume of a network
tokenizer       OpenAI's vocabulary files as a Hugging Face tokenizer
features        waveforms -> log-mel
encoder         the encoder for windows shorter than 30 s
attention       attention over short windows on a CPU
labels          transcripts -> decoder inputs and targets
sentences       times of sentences within a clip
symbols         special tokens and marks of noises in transcripts
remarks         what is odd about utterances that are trained all the same
loss            the decoder's states -> the loss of its targets
decode          clips and long recordings -> text
no_speech       clips in which nobody speaks, and texts that repeat themselves
greedy          encoder states -> tokens, rows leaving as they end
model           WhisperModel: the family's side of the contract
"""
