"""NVIDIA Canary: a FastConformer encoder and a text decoder with a prompt for languages and task.

load        .nemo files, model folders and hub ids
model       the contract of model.py
weights     .nemo archives <-> networks
network     preparation of transformers' networks to train as in NeMo
prompt      a manifest row -> the prompt
times       texts with the times of their words
labels      transcripts as decoder inputs and targets
loss        cross-entropy over the targets
decode      features -> tokens
onnx        folders for onnx-asr and sherpa-onnx
"""
