"""Languages as prompts: the number by which a model such as nemotron-3.5-asr is told what a clip is spoken in.

NeMo: collections/asr/models/rnnt_bpe_models_prompt.py, collections/asr/data/audio_to_text_lhotse_prompt_index.py.
B clips, T encoder positions of 80 ms, D hidden size.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import torch
from pydantic import BaseModel, Field
from torch import nn

from eartune.errors import InputError
from eartune.families._nemo.archive import CONFIG, NemoArchive
from eartune.families._nemo.slots import value_of
from eartune.languages import AUTO, LANGUAGE_TAG, prompt_name
from eartune.manifest import Utterance
from eartune.model import Network
from eartune.parsing import read_json

# how often a clip is trained so although its language is known; NeMo's `unified_auto_ratio`
AUTO_SHARE = 0.5
# 128 in nemotron-3.5-asr-streaming-0.6b, which has 119 names for them
MAX_PROMPTS = 2000
_Frames: TypeAlias = Annotated[int, Field(ge=0, lt=1000)]


@dataclass(frozen=True)
class Prompts:
    """A model's numbers of languages by their names (`en-US`, `en`, `auto`), and the tags it writes for them.

    `tags` are the tokens (`<en-US>`) that end a text, by the number of the prompt.
    """

    numbers: Mapping[str, int]
    tags: Mapping[int, int] = field(default_factory=dict)

    def number(self, utterance: Utterance, language: str | None) -> int | None:
        """Return the prompt of an utterance; None: neither its language nor `auto` has one.

        A key of NeMo's, `target_lang`, is taken as it is; then the language with its region, then without.
        """
        return self.numbers.get(self.name(utterance, language))

    def name(self, utterance: Utterance, language: str | None) -> str:
        """Return the name that `number` goes by, whether there is such a number or not."""
        asked = value_of(utterance.extra, "target_lang")
        if isinstance(asked, str) and asked in self.numbers:
            return asked
        return prompt_name(utterance.locale or language, self.numbers)

    def told(self, number: int | None) -> str | None:
        """Return what a number says, with its region: pt is pt-PT in nemotron-3.5-asr."""
        names = [name for name, each in self.numbers.items() if each == number]
        return next((name for name in names if "-" in name), names[0] if names else None)

    @property
    def auto(self) -> int | None:
        return self.numbers.get(AUTO)

    def names(self, language: str) -> bool:
        """Tell whether a language has a prompt of its own."""
        return prompt_name(language, self.numbers) != AUTO

    def tagged(self, tokens: tuple[int, ...], number: int | None) -> tuple[int, ...]:
        """Return a text with the tag of its language behind it, unless it is empty or has one already."""
        tag = None if number is None else self.tags.get(number)
        own = set(self.tags.values())
        return tokens if tag is None or not tokens or own.intersection(tokens) else (*tokens, tag)


def prompts_of(network: Network, vocabulary: Mapping[str, int]) -> Prompts | None:
    """Return the prompts of a network that has some, with the tags among the tokens of its `vocabulary`."""
    numbers = getattr(network.config, "prompt_dictionary", None)
    if numbers is None:
        return None
    tags: dict[int, int] = {}
    for name, number in numbers.items():
        if f"<{name}>" in vocabulary:
            tags.setdefault(number, vocabulary[f"<{name}>"])
    return Prompts(numbers, tags)


def tag_tokens(vocabulary: Mapping[str, int]) -> frozenset[int]:
    """Return the tokens that name a language (`<en-US>`), which a model with prompts ends its texts with."""
    return frozenset(number for piece, number in vocabulary.items() if LANGUAGE_TAG.fullmatch(piece))


def tell_language(network: Network, states_BTD: torch.Tensor, prompts_B: torch.Tensor) -> torch.Tensor:
    """Return the encoder's states of clips whose languages are told by numbers."""
    told_BP = nn.functional.one_hot(prompts_B, network.config.num_prompts).to(states_BTD.dtype)
    told_BTP = told_BP[:, None].expand(-1, states_BTD.shape[1], -1)
    found_BTD: torch.Tensor = network.prompt_projector(torch.cat([states_BTD, told_BTP], dim=-1))
    return found_BTD


def now_and_then_auto(prompts_B: torch.Tensor, auto: int | None) -> torch.Tensor:
    """Return prompts for training: some are left to the model to find out, as NeMo draws them for each clip."""
    if auto is None:
        return prompts_B
    # drawn on the CPU, whose state a checkpoint keeps
    drawn_B = (torch.rand(len(prompts_B)) < AUTO_SHARE).to(prompts_B.device, non_blocking=True)
    return torch.where(drawn_B, auto, prompts_B)


def nemo_prompts(archive: NemoArchive, encoder_size: int) -> dict[str, Any] | None:
    """Return an archive's prompts as transformers' configuration has them, and `prompt_dictionary`; None: it has none.

    Raises InputError for a dictionary that is not a mapping of names to numbers.
    """
    defaults = archive.section("model_defaults")
    if not defaults.flag("initialize_prompt_feature", False):
        return None
    where = f"{archive.path}: {CONFIG}: model_defaults.prompt_dictionary"
    num_prompts = defaults.integer("num_prompts", 128, most=MAX_PROMPTS)
    numbers = checked_numbers(defaults.get("prompt_dictionary", None), num_prompts, where=where)
    return {
        "num_prompts": num_prompts,
        "prompt_intermediate_size": 2 * encoder_size,
        "default_prompt_id": numbers.get(AUTO, 0),
        "prompt_dictionary": numbers,
    }


def checked_numbers(numbers: object, num_prompts: int, *, where: str) -> dict[str, int]:
    """Return a dictionary of prompts. Raises InputError, which begins with `where`, for anything else."""
    if not isinstance(numbers, dict) or not 0 < len(numbers) <= MAX_PROMPTS or not _are_names(numbers):
        raise InputError(f"{where} is {str(numbers)[:80]}, expected names of languages with their numbers")
    beyond = {name: number for name, number in numbers.items() if not _is_number(number, num_prompts)}
    if beyond:
        name, number = next(iter(beyond.items()))
        raise InputError(f"{where}: {name} has the number {number!r:.40}, expected one from 0 to {num_prompts - 1}")
    return dict(numbers)


def _are_names(names: Collection[object]) -> bool:
    return all(isinstance(name, str) for name in names)


def _is_number(number: object, num_prompts: int) -> bool:
    return type(number) is int and 0 <= number < num_prompts


class Processor(BaseModel):
    """What processor_config.json of a folder says of prompts and lookaheads; None: it says nothing."""

    prompt_dictionary: dict[str, Any] | None = None
    supported_num_lookahead_tokens: list[_Frames] | None = None
    default_num_lookahead_tokens: _Frames | None = None


def read_processor(folder: Path) -> Processor:
    """Read processor_config.json of a folder, where it has one."""
    path = folder / "processor_config.json"
    return read_json(path, Processor, advice="copy the whole model folder") if path.exists() else Processor()
