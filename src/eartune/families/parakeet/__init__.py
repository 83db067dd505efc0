"""NVIDIA Parakeet: CTC, RNN-T, TDT, and transducers with an auxiliary CTC head.

load        .nemo files, model folders and hub ids
model       the contract of model.py
weights     .nemo archives <-> networks
network     transducers with a CTC head, and what all of the family's networks need
labels      transcripts as tokens, and what of them does not fit
heads       how many tokens CTC, RNN-T and TDT can align
loss        CTC, and transducers (transducer/) with the CTC head beside them
greedy      the encoder's states -> tokens with their frames
segments    tokens with their frames -> segments
onnx        folders for onnx-asr and sherpa-onnx
"""
