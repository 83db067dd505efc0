"""The benchmark of Whisper training: its figures by hand count, its FLOPs as torch counts them, and one small run."""

import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import TrainerControl, TrainerState, WhisperConfig, WhisperForConditionalGeneration

from benchmarks.whisper.command import main, parse
from benchmarks.whisper.contest import turns
from benchmarks.whisper.figures import Block, Measured, ratios, speed_ratio
from benchmarks.whisper.flops import (
    FULL,
    LORA,
    decoder_flops,
    encoder_flops,
    useful_flops_per_audio_second,
)
from benchmarks.whisper.gate import Gate, hash_of_weights
from benchmarks.whisper.material import deal_evenly
from benchmarks.whisper.protocol import Benchmark, Contender, ContenderFailed
from benchmarks.whisper.windows import join_distances, recordings
from benchmarks.whisper.windows import main as compare_windows
from eartune.errors import InputError
from eartune.manifest import Utterance
from tests.tiny import write_speech

TINY = WhisperConfig(
    vocab_size=100,
    num_mel_bins=80,
    d_model=32,
    encoder_layers=2,
    encoder_attention_heads=2,
    encoder_ffn_dim=96,
    decoder_layers=3,
    decoder_attention_heads=2,
    decoder_ffn_dim=64,
    max_source_positions=50,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=3,
    # torch counts the products of attention where they are written out
    attn_implementation="eager",
)
FRAMES, POSITIONS, TOKENS = 100, 50, 7


def counted(*, trained: bool) -> int:
    network = WhisperForConditionalGeneration(TINY)
    with FlopCounterMode(display=False) as counter:
        features = torch.zeros(1, TINY.num_mel_bins, FRAMES)
        loss = network(features, labels=torch.full((1, TOKENS), 5)).loss
        if trained:
            loss.backward()
    return counter.get_total_flops()


def test_a_forward_pass_has_as_many_flops_as_torch_counts() -> None:
    assert encoder_flops(TINY, FRAMES) + decoder_flops(TINY, POSITIONS, TOKENS) == counted(trained=False)


def test_full_training_is_three_forward_passes_but_for_gradients_of_the_features() -> None:
    first_convolution = 2 * 3 * FRAMES * TINY.num_mel_bins * TINY.d_model
    three = FULL.encoder * encoder_flops(TINY, FRAMES) + FULL.decoder * decoder_flops(TINY, POSITIONS, TOKENS)
    assert three - first_convolution == counted(trained=True)


def test_useful_flops_are_those_of_real_frames_and_tokens_per_second_of_audio() -> None:
    long = encoder_flops(TINY, 100) + decoder_flops(TINY, 50, 7)
    short = encoder_flops(TINY, 50) + decoder_flops(TINY, 25, 4)
    assert useful_flops_per_audio_second(TINY, [1.0, 0.5], [7, 4], LORA) == pytest.approx(2 * (long + short) / 1.5)


def test_a_speed_ratio_is_that_of_medians_and_of_best_blocks() -> None:
    ours = [Block(1, 1.0, 60.0), Block(1, 1.0, 30.0), Block(1, 1.0, 40.0)]
    theirs = [Block(1, 4.0, 40.0), Block(1, 4.0, 80.0), Block(1, 4.0, 40.0)]
    ratio = speed_ratio(ours, theirs)
    assert (ratio.median, ratio.best) == (40 / 10, 60 / 20)
    low, high = ratio.interval
    assert 30 / 20 <= low <= ratio.median <= high <= 60 / 10


def test_an_equal_slowdown_of_both_in_a_round_leaves_the_ratio_certain() -> None:
    ours = [Block(1, 1.0, 60.0), Block(1, 3.0, 60.0), Block(1, 2.0, 60.0)]
    theirs = [Block(1, 5.0, 60.0), Block(1, 15.0, 60.0), Block(1, 10.0, 60.0)]
    assert speed_ratio(ours, theirs).interval == pytest.approx((5.0, 5.0))


def measured(speed: float, begins_s: float, host_bytes: int, device_bytes: int | None) -> Measured:
    return Measured(
        first_step_begins_s=begins_s,
        training=[Block(1, 1.0, speed)],
        training_report={"host_peak_bytes": host_bytes, "device_peak_reserved_bytes": device_bytes},
        evaluation=[Block(10, 2.0, speed)],
    )


@pytest.mark.parametrize(("device_bytes", "memory_ratio"), [((None, None), 4.0), ((30, 10), 3.0)])
def test_claims_are_our_figures_against_the_references(
    device_bytes: tuple[int | None, int | None], memory_ratio: float
) -> None:
    reference = measured(10.0, 20.0, 800, device_bytes[0])
    ours = measured(60.0, 5.0, 200, device_bytes[1])
    guide = measured(5.0, 40.0, 800, device_bytes[0])
    assert ratios({"strong": reference, "guide": guide, "default": ours, "short": ours}) == pytest.approx(
        {"short": 6, "default": 12, "peak_memory": memory_ratio, "first_step": 4, "evaluation_short": 6}
    )


def test_there_is_no_claim_without_a_reference_or_a_measurement() -> None:
    ours = measured(60.0, 5.0, 200, None)
    assert ratios({"short": ours}) == {}
    not_decoded = measured(10.0, 20.0, 800, None)
    not_decoded.evaluation = []
    assert "evaluation_short" not in ratios({"short": ours, "strong": not_decoded})


def test_turns_go_forwards_and_backwards() -> None:
    assert "".join(turns("abc", 3)) == "abccbaabc"


def utterance(duration_s: float) -> Utterance:
    return Utterance(Path("clip.wav"), "text", duration_s)


def test_each_step_is_dealt_about_equal_audio() -> None:
    dealt = deal_evenly([utterance(seconds) for seconds in (1, 2, 3, 4, 5, 6, 7, 8, 99)], clips_per_step=4)
    assert [u.duration_s for u in dealt] == [8, 5, 4, 1, 7, 6, 3, 2]


def test_too_few_clips_for_one_step_are_refused() -> None:
    with pytest.raises(InputError, match="3 clips to train on, and a step takes 4"):
        deal_evenly([utterance(1)] * 3, clips_per_step=4)


def test_the_hash_of_weights_sees_a_change_and_no_adapter() -> None:
    class Adapted(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.base_model = torch.nn.Module()
            self.base_model.model = network
            self.lora_A = torch.nn.Linear(2, 2)

    network = torch.nn.Linear(2, 2)
    before = hash_of_weights(network)
    assert hash_of_weights(Adapted(network)) == before
    with torch.no_grad():
        network.bias.add_(1)
    assert hash_of_weights(network) != before


def test_the_gate_trains_as_many_steps_as_are_asked_for_and_says_how_much_audio_they_had() -> None:
    requests = [{"do": "train", "steps": 1}, {"do": "train", "steps": 2}, {"do": "report"}]
    answers = io.StringIO()
    gate = Gate(Benchmark(io.StringIO("\n".join(map(json.dumps, requests))), answers), lambda steps: 10.0 * steps)
    control = TrainerControl()
    for step in (1, 2, 3):
        assert not control.should_training_stop
        gate.on_step_begin(None, None, control, model=torch.nn.Linear(2, 2))
        gate.on_step_end(None, TrainerState(global_step=step), control)
    assert control.should_training_stop
    ready, *done = map(json.loads, answers.getvalue().splitlines())
    assert ready == {"event": "ready"}
    assert [(answer["steps"], answer["audio_seconds"]) for answer in done] == [(1, 10.0), (2, 20.0)]


def test_a_contender_that_fails_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no memory')"]
    with Contender("ours", command, environment={}, log=tmp_path / "log") as contender:
        with pytest.raises(ContenderFailed, match="ours ended with code 1"):
            contender.wait_until_ready()
        with pytest.raises(ContenderFailed, match="no memory"):
            contender.ask("train", steps=1)


def test_a_small_run_measures_reference_and_ours_and_writes_everything(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    sizes = "--clips-per-step 2 --clips-per-pass 1 --train-clips 4 --test-clips 2 --max-tokens 8"
    little = "--contenders strong frozen_cached --rounds 1 --block-seconds 0 --threads 1 --workers 0"
    main([*shlex.split(f"{sizes} {little}"), "--out", str(out)])
    written = json.loads(out.read_text())
    assert set(written) == {
        "command", "date", "machine", "settings", "material", "contenders", "ratios",
    }  # fmt: skip
    assert written["material"]["train_audio_seconds"] == 20.0
    strong = written["contenders"]["strong"]
    (block,) = strong["blocks"]
    assert (block["count"], block["audio_seconds"]) == (1, 10.0)
    assert block["processor_seconds"] > 0
    assert strong["audio_hours_per_hour"]["median"] == pytest.approx(10.0 / block["seconds"])
    assert 0 < strong["share_of_peak"] < 1
    assert 0 < strong["first_step_begins_s"] < strong["first_step_ends_s"]
    # two splits' worth of 80 x 3000 numbers of 4 bytes for each clip
    assert strong["disk_bytes"] > 6 * 80 * 3000 * 4
    assert strong["evaluation"]["clips_with_the_same_text_as"]["strong"] == 2
    ours = written["contenders"]["frozen_cached"]
    assert written["ratios"]["frozen_cached"] == pytest.approx(
        ours["audio_hours_per_hour"]["median"] / strong["audio_hours_per_hour"]["median"]
    )
    assert ours["blocks"][0]["audio_seconds"] == pytest.approx(10.0)
    assert ours["evaluation"]["clips"] == 2
    assert written["material"]["same_initial_weights"]
    assert strong["evaluation"]["initial_weights"] == strong["initial_weights"]
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


def clips_of(folder: Path, *seconds: float) -> list[Utterance]:
    made = []
    for number, duration_s in enumerate(seconds):
        path = folder / f"{number}.wav"
        soundfile.write(path, np.full(round(16_000 * duration_s), 0.1), 16_000)
        made.append(Utterance(path, "text", duration_s))
    return made


def test_recordings_of_test_clips_fit_a_window_and_say_where_each_clip_lies(tmp_path: Path) -> None:
    # 20 s is more than half a window and stays out; 9 s do not fit behind 10 + 0.5 + 13 + 0.5, and nothing follows them
    (made,) = recordings(clips_of(tmp_path, 10.0, 13.0, 20.0, 9.0))
    assert made.spans == ((0.0, 10.0), (10.5, 23.5))
    assert len(made.waveform) == 24 * 16_000
    assert made.waveform[16_000 * 10 + 1] == 0


def test_windows_are_compared_on_a_small_model(tiny_model: Path, tmp_path: Path) -> None:
    speech = write_speech(tmp_path / "speech", count=4, duration_s=9.0)
    for split in ("train", "test"):
        shutil.copy(speech, speech.with_name(f"{split}.jsonl"))
    words = f"--language en --windows packed --seeds 1 --set max_steps=1 --model {tiny_model} --data {speech.parent}"
    compare_windows([*shlex.split(words), "--out", str(tmp_path / "out")])
    untuned, packed = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert (untuned["window"], packed["window"], packed["seed"], packed["steps"]) == ("untuned", "packed", 1, 1)
    # the one recording that is full
    assert (packed["times"]["clips"], packed["times"]["joins"]) == (2, 1)


def test_distances_from_joins_by_hand() -> None:
    spans = [(0.0, 2.0), (2.5, 5.0), (5.5, 9.0)]
    assert join_distances(spans, [0.0, 2.2, 9.0]) == pytest.approx([0.0, 2.8])
    assert join_distances(spans, [1.9, 5.6]) == pytest.approx([0.1, 0.1])
    assert join_distances(spans, []) == [28.0, 28.0]
    assert join_distances(spans[:1], [1.0]) == []


def test_the_commands_of_the_makefile_are_ones_the_benchmark_takes() -> None:
    text = (Path(__file__).parents[1] / "Makefile").read_text().replace("\\\n", " ")
    commands = [line for line in text.splitlines() if line.startswith("\t$(BENCH) ")]
    assert len(commands) == 3
    for command in commands:
        # $(if ...) stands for nothing where there is no model and no data
        parse(shlex.split(re.sub(r"\$\(if .*?\)\)", "", command.removeprefix("\t$(BENCH) "))))
