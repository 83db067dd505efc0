"""The command line: one file per verb, each of which parses, calls one function and shows the result.

`main` imports nothing heavy, so that `eartune --help` answers at once; a verb's file is imported when it is asked for.
"""

from eartune.cli.main import main

__all__ = ["main"]
