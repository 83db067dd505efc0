"""One file per verb. Each is a function that reads one place, writes one place and returns what it found."""
