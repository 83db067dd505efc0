"""Fine-tuning of speech recognition models on your own speech.

Data flows in one direction, through files: manifest -> run -> checkpoint -> hypotheses, scores -> merged model.
Layers, each importing only those below it (docs/architecture.md has them all):

    cli
    verbs                   prepare, train, evaluate, merge, transcribe, demo
    families                one folder per model family
    nemo                    code shared by the families of NVIDIA's NeMo
    training, export        Trainer, adapters, batches; parity of exports; use families through model.py only
    runtimes                programs that run exported models
    long_form               recordings of any length
    config, manifest, audio, text, scoring, run_dir, ...
    errors

Each verb is also a function: `from eartune.verbs.train import train`. This module imports nothing heavy.
"""

__version__ = "0.1.0"
