"""Training: knows a family only by the contract in model.py; docs/architecture.md lists the files."""
