"""Exports: their formats, their acceptance in comparison with the model, and their documentation.

exporter    export formats of a family, and the formats requested
gate        acceptance of an export
parity      clips: error rates of both, and between the two
long_clip   a long recording: times, loops, and skipped speech
measure     a runtime on clips: hypotheses, seconds, memory
onnx_files  ONNX graphs: traced, quantised, run and compared
record      parity.json
card        README.md: the model card
usage       code snippets for the card
mimir       exports for the Mimir app
hub         exports on the Hugging Face hub
"""
