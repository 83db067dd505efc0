"""Model families. Files of one purpose have one name in all folders; `registry.family(name)` imports one.

A family knows how to load a base model, how waveforms become inputs and texts labels, its limits, the names of its
blocks and how to decode. It knows nothing of the loop, the command line or the files of a run.
"""
