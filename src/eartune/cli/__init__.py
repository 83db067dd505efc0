"""Command line: one file per verb, which parses the arguments, calls one function and prints the result.

`main` imports nothing heavy, so that `eartune --help` is fast; a verb's file is imported when the verb is run.
"""

from eartune.cli.main import main

__all__ = ["main"]
