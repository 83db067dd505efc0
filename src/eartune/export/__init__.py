"""Checks that an exported model still gives the text of the model.

parity      clips: error rates of both, and between the two
long_clip   a long recording: times, loops, and what was left out
measure     a runtime on clips: hypotheses, seconds, memory
onnx_files  ONNX graphs: traced, quantised, run and compared
"""
