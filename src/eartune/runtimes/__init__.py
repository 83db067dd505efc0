"""Runtimes: programs that run exported models, behind one protocol."""
