"""Terminal output of results: tables of scores, and sentences with marked differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eartune.export.record import program_of
from eartune.reporting import clock
from eartune.scoring import ErrorCounts, ScoredUnit, by_language, differences
from eartune.verbs.demo import Demonstration
from eartune.verbs.evaluate import Evaluation, ScoredModel
from eartune.verbs.export_one import Exported
from eartune.verbs.train import TrainedRun

NUM_SENTENCES = 5
# name of the word error rate for each unit of scoring
RATE_NAMES: dict[ScoredUnit, str] = {
    "word": "WER",
    "character": "WER, each character a word",
    "word and character": "MER, words and characters",
}
# share of the training time spent waiting for audio from which a hint is printed
MUCH_WAITING = 0.1


def show_trained(trained: TrainedRun, *, console: Console | None = None) -> None:
    """Print a summary of the training and the next command."""
    console = console or Console(highlight=False)
    rate = trained.audio_seconds / max(trained.train_seconds, 1e-9)
    waited = trained.waited_seconds / max(trained.train_seconds, 1e-9)
    console.print(
        f"trained {trained.steps} steps ({trained.epochs:.1f} epochs) in {clock(trained.train_seconds)}, "
        f"{rate:.1f} s of speech per second; {waited:.0%} of the time waiting for audio"
    )
    if waited > MUCH_WAITING:
        console.print("  raise dataloader_num_workers, or convert the audio to 16 kHz FLAC with `eartune prepare`")
    if trained.best:
        rates = [f"{n[5:].upper()} {_percent(trained.best[n])}" for n in ("eval_wer", "eval_cer") if n in trained.best]
        found = ", ".join([*rates, f"loss {trained.best['eval_loss']:.3f}"])
        console.print(f"best validation: {found} after step {trained.best['step']}")
    console.print(f"run: {trained.path}", soft_wrap=True)
    if trained.merged:
        console.print(f"merged model: {trained.merged}", soft_wrap=True)
    if trained.exported:
        console.print(f"exported model: {trained.exported}", soft_wrap=True)
    console.print(f"next: eartune evaluate {trained.path} --data test.jsonl", soft_wrap=True)
    # last, where the user sees them first
    for remark in trained.remarks:
        console.print(f"note: {remark}", markup=False, soft_wrap=True)


def show_evaluation(evaluation: Evaluation, *, console: Console | None = None) -> None:
    """Print the scores of base and tuned model, and the worst sentences."""
    console = console or Console(highlight=False)
    console.print(score_table(evaluation))
    if evaluation.difference is not None:
        low, high = evaluation.difference.interval
        console.print(
            f"WER changed by {_points(evaluation.difference.difference)} points "
            f"(95 % interval {_points(low)} to {_points(high)})"
        )
    wrong = [
        u.index for u in sorted(evaluation.tuned.scores.utterances, key=lambda u: -u.words.errors) if u.words.errors
    ]
    if wrong:
        console.print("\nWorst utterances, differences marked:")
        for index in wrong[:NUM_SENTENCES]:
            console.print(sentence(evaluation, index), soft_wrap=True)
    console.print(f"\n{evaluation.out / 'hypotheses.jsonl'}\n{evaluation.out / 'scores.json'}", soft_wrap=True)
    # last, where the user sees them first
    for remark in evaluation.remarks:
        console.print(f"note: {remark}", markup=False, soft_wrap=True)


def score_table(evaluation: Evaluation) -> Table:
    """Make the table of error rates: one column per model."""
    measured = [m for m in (evaluation.base, evaluation.tuned) if m is not None]
    table = Table(title=f"{len(evaluation.utterances)} utterances, {clock(evaluation.audio_seconds)} of speech")
    table.add_column("")
    for model in measured:
        heading = model.model if len(measured) == 1 else ("base" if model is evaluation.base else "tuned")
        table.add_column(heading, justify="right")
    rows: dict[str, Callable[[ScoredModel], str]] = {
        RATE_NAMES[measured[0].scores.unit]: lambda m: _rate(m.scores.words, m.scores.wer_interval),
        **_rows_by_language(measured[0]),
        "CER": lambda m: _rate(m.scores.chars, m.scores.cer_interval),
        "WER as written": lambda m: _rate(m.scores.raw_words if m.scores.has_words else ErrorCounts()),
        "CER as written": lambda m: _rate(m.scores.raw_chars if m.scores.has_words else ErrorCounts()),
        "words replaced / missing / added": _operations,
        "sentences with an error": lambda m: _percent(m.scores.sentence_error_rate),
        **_rows_of_no_speech(measured[0]),
        "times faster than real time": lambda m: f"{evaluation.audio_seconds / max(m.seconds, 1e-9):.1f}",
    }
    for name, cell in rows.items():
        table.add_row(name, *(cell(model) for model in measured))
    return table


def _rows_by_language(measured: ScoredModel) -> dict[str, Callable[[ScoredModel], str]]:
    """Return a row per language where languages are scored in different units (words, characters)."""
    parts = by_language(measured.scores)
    if measured.scores.unit != "word and character" or len(parts) == 1:
        return {}

    def cell(language: str) -> Callable[[ScoredModel], str]:
        return lambda m: _rate(by_language(m.scores)[language].words)

    return {f"  {language}: {RATE_NAMES[part.unit]}": cell(language) for language, part in parts.items()}


def _rows_of_no_speech(measured: ScoredModel) -> dict[str, Callable[[ScoredModel], str]]:
    if not measured.scores.no_speech.num_utterances:
        return {}

    def cell(m: ScoredModel) -> str:
        return f"{m.scores.no_speech.num_with_words} of {m.scores.no_speech.num_utterances}"

    return {"utterances without speech, with words": cell}


def sentence(evaluation: Evaluation, index: int) -> Text:
    """Return one utterance: its reference and each model's hypothesis, with wrong words marked."""
    text = Text()
    text.append(f"  {'reference':<11}{evaluation.utterances[index].text}\n")
    last = "tuned" if evaluation.base is not None else "hypothesis"
    for name, model in (("base", evaluation.base), (last, evaluation.tuned)):
        if model is not None:
            text.append(f"  {name:<11}")
            text.append_text(_marked(model, index))
            text.append("\n")
    return text


def export_table(exports: Sequence[Exported]) -> Table:
    """Return the table of exports: scores of model and export, speed and size."""
    table = Table(
        title="Exports, each decoded by its runtime",
        caption="WER of the model and of the export; times faster than real time",
    )
    table.add_column("")
    for name in ("model", "export", "sentences differ", "long recording", "speed", "MiB"):
        table.add_column(name, justify="right")
    for exported in exports:
        name, gate = f"{exported.format} {exported.quantization}", exported.gate
        if gate is None:
            table.add_row(name, f"unverified: {exported.skipped}")
            continue
        parity = gate.parity
        table.add_row(
            name,
            _percent(parity.model.rate),
            _percent(parity.exported.rate),
            f"{parity.num_differing} of {parity.num_utterances}",
            "" if gate.long is None else "complete" if gate.long.check.passes else "fails",
            f"{1 / max(parity.cost.real_time_factor, 1e-9):.1f}",
            f"{parity.cost.size_bytes / 2**20:.0f}",
        )
    return table


def _marked(model: ScoredModel, index: int) -> Text:
    scored = model.scores.utterances[index]
    words = Text()
    for span in differences(scored.normalized_reference, scored.normalized_hypothesis):
        if span.operation == "equal":
            words.append(" ".join(span.hypothesis) + " ")
        elif span.operation == "delete":
            # brackets too, for logs and for readers who cannot see colours
            words.append(f"[-{' '.join(span.reference)}-] ", style="red")
        else:
            words.append(f"[{' '.join(span.hypothesis)}] ", style="bold red")
    return words


def _operations(model: ScoredModel) -> str:
    counts = model.scores.words
    return f"{counts.substitutions} / {counts.deletions} / {counts.insertions}"


def _rate(counts: ErrorCounts, interval: tuple[float, float] | None = None) -> str:
    if not counts.reference_length:
        return "no reference words"
    return _percent(counts.rate) + (f" [{_interval(interval)}]" if interval else "")


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _points(rate: float) -> str:
    return f"{100 * rate:+.1f}"


def _interval(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def show_demonstration(found: Demonstration, *, console: Console | None = None) -> None:
    """Print the scores and sentences before and after training, and the paths of all results."""
    console = console or Console(highlight=False)
    evaluation = found.evaluation
    assert evaluation.base is not None
    console.print(score_table(evaluation))
    removed = 1 - evaluation.tuned.scores.words.rate / max(evaluation.base.scores.words.rate, 1e-9)
    console.print(f"Fine-tuning removed {_percent(removed)} of the base model's word errors.\n")
    before, after = evaluation.base.scores.utterances, evaluation.tuned.scores.utterances
    most_improved = sorted(range(len(before)), key=lambda i: after[i].words.errors - before[i].words.errors)
    console.print("Sentences before and after, wrong words marked:")
    for index in most_improved[:NUM_SENTENCES]:
        console.print(sentence(evaluation, index), soft_wrap=True)
    console.print(f"{found.clip.name}, transcribed by the merged model:\n  {found.clip_heard}\n", soft_wrap=True)
    console.print(export_table(found.exported))
    times = ", ".join(f"{name} {clock(value)}" for name, value in found.seconds.items())
    console.print(f"Times: {times}")
    paths = {
        "run, with the adapter": found.trained.path,
        "merged model, ready to use": found.merged.path,
        **{f"for {program_of(each.format).program}": each.path for each in found.exported},
        "hypotheses and scores": evaluation.out,
        "summary": found.out / "summary.json",
    }
    for name, path in paths.items():
        console.print(f"  {name:<28}{path}", soft_wrap=True)
    console.print(f"\nNext: eartune transcribe {found.merged.path} YOUR_RECORDING.wav", soft_wrap=True)
