"""Other programs that run an exported model, each asked for the words of some speech."""
