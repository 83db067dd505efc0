"""The longest clips that programs decode at once; without torch, for declarations."""

# programs for models with a fixed window
WINDOW_S = 30
# programs for NVIDIA's models: the longest clips in training of the released ones
NEMO_WINDOW_S = 40.0
