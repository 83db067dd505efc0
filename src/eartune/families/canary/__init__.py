"""NVIDIA Canary: a FastConformer encoder and a decoder that is told by its prompt what to write.

load        .nemo files, model folders and hub ids
model       the contract of model.py
weights     .nemo archives <-> networks
network     what the family's networks need to train as in NeMo
prompt      a manifest's row -> the prompt
times       texts with the times of their words
labels      transcripts as decoder inputs and targets
loss        cross-entropy over the targets
decode      clips -> texts
onnx        folders for onnx-asr and sherpa-onnx
"""
