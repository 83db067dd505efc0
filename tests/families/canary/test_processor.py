"""A Canary's prompts as a chat template: those that it was trained with, whatever its settings hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from eartune.families.canary.processor import chat_template
from eartune.families.canary.prompt import Prompts
from tests.tiny import clips_in


def rendered(template: str, **request: Any) -> str:
    content = [{"type": "audio", "audio": None}, {"type": "text", **request}]
    (prompt,), _ = render_jinja_template([[{"role": "user", "content": content}]], chat_template=template)
    return prompt


@pytest.mark.parametrize("punctuation", [True, False])
def test_languages_and_punctuation_are_those_of_the_request(punctuation: bool) -> None:
    template = chat_template(Prompts({"pnc": "no", "itn": "yes"}, "transcribe", "de"))
    switch = "<|pnc|>" if punctuation else "<|nopnc|>"
    assert rendered(template, source_language="en", target_language="fr", punctuation=punctuation) == (
        f"<|startofcontext|><|startoftranscript|><|emo:undefined|><|en|><|fr|>{switch}<|itn|><|notimestamp|><|nodiarize|>"
    )


@given(context=st.text(max_size=40) | st.sampled_from(["{{ 7 * 7 }}", "{% raw %}", "'\"\\n", "<|pnc", "\\u0041"]))
def test_what_a_model_sets_is_text_and_no_template(context: str) -> None:
    prompts = Prompts({"decodercontext": context}, "transcribe", None)
    (utterance,) = clips_in("en")
    expected = prompts.write(utterance)
    assert rendered(chat_template(prompts), source_language="en", target_language="en", punctuation=True) == expected
