"""Whether an exported model still says what the model says.

parity      clips: error rates of both, and between the two
long_clip   a long recording: times, loops, and what was left out
measure     a runtime on clips: hypotheses, seconds, memory
onnx_files  ONNX graphs: traced, quantised, run and compared
"""
