"""Configuration of a run: typed and strict, with one place for each default and the source of each value.

options     definition of an option: a typed field, its docstring as help text, its aliases
sections    the options of data, model, run and validation
optimizer   the options of the optimiser and its schedule
adapter     the options of LoRA and its variants
presets     named sets of values for one machine
refused     option names of other tools that are refused, with advice
sources     YAML and JSON files as raw values with line numbers
resolve     defaults < preset < file < command line -> TrainConfig, or all errors at once
reference   help text and documentation page of the options
"""

from eartune.config.resolve import resolve_config
from eartune.config.train_config import Provenance, TrainConfig

__all__ = ["Provenance", "TrainConfig", "resolve_config"]
