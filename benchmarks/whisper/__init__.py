"""eartune's Whisper training beside the script that the public guides teach, on the same clips and weights.

command.py     options -> material, contest, figures, a table and a file; run it as ../whisper_training.py
setting.py     what all contenders are given
material.py    the speech and the model, or made-up ones
contenders.py  who takes part, and the process of one of them
protocol.py    how the benchmark and a contender talk
gate.py        transformers' Trainer held at the boundaries of steps, clocks, memory, weights
reference.py   the script of the guides, in three settings
contest.py     contenders started one after another, then measured in turns
flops.py       what a clip costs
machine.py     where this runs, and how fast it multiplies matrices
figures.py     blocks -> speeds and ratios
report.py      the table, and one contender as JSON
"""
