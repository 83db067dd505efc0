"""NVIDIA Parakeet: CTC, RNN-T, TDT, and transducers with an auxiliary CTC head.

load        .nemo files, model folders and hub ids
model       the contract of model.py
weights     .nemo archives <-> networks
network     transducers with a CTC head, and preparation of transformers' networks to train as in NeMo
labels      transcripts as tokens, with findings and remarks
heads       limits on the tokens that CTC, RNN-T and TDT can align
loss        CTC, and transducers (transducer/) with their auxiliary CTC head
greedy      encoder states -> tokens with their frames
segments    tokens with their frames -> segments
onnx        folders for onnx-asr and sherpa-onnx
"""
