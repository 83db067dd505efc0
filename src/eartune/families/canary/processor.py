"""Canary's transformers processor: special tokens, and prompts as a chat template."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from transformers import CanaryProcessor, ParakeetFeatureExtractor, PreTrainedTokenizerBase, TokenizersBackend

from eartune.families._nemo.slots import SWITCHES
from eartune.families.canary.prompt import END, START, Prompts
from eartune.manifest import Utterance

PAD = "<pad>"
_SPECIAL = re.compile(r"<\|.*\|>", re.DOTALL)


def build_processor(
    prompts: Prompts, tokenizer: PreTrainedTokenizerBase, extractor: ParakeetFeatureExtractor
) -> CanaryProcessor:
    """Return a processor whose `apply_transcription_request` writes the model's own prompts."""
    if tokenizer.pad_token is None:
        tokenizer = _with_special_tokens(tokenizer)
    return CanaryProcessor(extractor, tokenizer, chat_template=chat_template(prompts))


def chat_template(prompts: Prompts) -> str:
    """Return the prompt as a Jinja template; languages and punctuation are arguments, other slots model defaults."""
    neutral = Utterance(audio=Path(), text="", duration_s=0.0)
    others = "".join(f"<|{'' if prompts.switched(name, neutral) else 'no'}{name}|>" for name in SWITCHES[1:])
    prompt = prompts.fill(source="<|source|>", target="<|target|>", switches=f"<|pnc|>{others}", row={})
    requested = {
        "<|source|>": "'<|' ~ item.source_language ~ '|>'",
        "<|target|>": "'<|' ~ item.target_language ~ '|>'",
        "<|pnc|>": "'<|pnc|>' if item.punctuation else '<|nopnc|>'",
    }
    # JSON quoting: a model's slot values are text, not Jinja
    filled = json.dumps(prompt, ensure_ascii=False) + "".join(
        f" | replace({json.dumps(token)}, {value})" for token, value in requested.items()
    )
    return (
        "{% for message in messages %}{% for item in message.content %}{% if item.type == 'text' %}"
        f"{{{{ {filled} }}}}"
        "{% endif %}{% endfor %}{% endfor %}"
    )


def _with_special_tokens(tokenizer: PreTrainedTokenizerBase) -> TokenizersBackend:
    """Return a copy with the special tokens marked, for skip_special_tokens."""
    special = sorted(filter(_SPECIAL.fullmatch, tokenizer.get_vocab()), key=tokenizer.convert_tokens_to_ids)
    found = TokenizersBackend(
        tokenizer_object=Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        unk_token=tokenizer.unk_token,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )
    found.add_tokens([AddedToken(token, special=True, normalized=False) for token in special], special_tokens=True)
    return found
