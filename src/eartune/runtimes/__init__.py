"""Programs that run exported models, each behind the same few functions."""
