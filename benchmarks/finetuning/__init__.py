"""NeMo's own fine-tuning beside eartune's: the same model, clips and steps, one process per run.

command.py     options -> models, runs in turns, a table and a file; run it as ../nemo_finetuning.py
material.py    the clips, in the batches that eartune's plan makes of them
build.py       in NeMo's environment: a model of random weights
ours.py        one run of eartune's
theirs.py      one run of NeMo's, in its environment: Lightning's trainer, as its users call it
clock.py       what a run notes of itself
figures.py     runs -> medians and ratios
"""
