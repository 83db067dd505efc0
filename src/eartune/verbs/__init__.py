"""Verbs of the command line, one file each: functions that read one place, write one place and return the result."""
