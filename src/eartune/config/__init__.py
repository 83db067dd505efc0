"""The configuration of a run: typed, strict, one place for each default, and a record of where each value came from.

options     what an option is: a typed field, its docstring as help text, its other names
sections    the options themselves: data, model, run, validation
optimizer   ... the optimiser and its schedule
adapter     ... LoRA and its relatives
presets     named sets of values for one machine
refused     names that are known and not used here, with what to do instead
sources     YAML and JSON files as raw values with line numbers
resolve     defaults < preset < file < command line -> TrainConfig, or all errors at once
reference   the same descriptions as help text and as a page of documentation
"""

from eartune.config.resolve import resolve_config
from eartune.config.train_config import Provenance, TrainConfig

__all__ = ["Provenance", "TrainConfig", "resolve_config"]
