"""JSON and YAML from outside: bounded in size, depth and digits, and checked against a declared type.

All JSON and YAML that eartune reads comes through here; `json.load` and `yaml` are used nowhere else. Whatever is wrong
is an InputError of one line that begins with the file, and names line and column where the syntax is broken.
"""

from eartune.parsing.json_documents import parse_json, parse_json_pairs, parse_json_prefix, read_json
from eartune.parsing.shape import JsonObject, check_shape
from eartune.parsing.text import BOUNDS, Bounds, read_text, refuse_lone_surrogates
from eartune.parsing.yaml_documents import (
    compose_yaml,
    dump_yaml,
    parse_option,
    parse_yaml,
    parse_yaml_pairs,
    quote_yaml,
)

__all__ = [
    "BOUNDS",
    "Bounds",
    "JsonObject",
    "check_shape",
    "compose_yaml",
    "dump_yaml",
    "parse_json",
    "parse_json_pairs",
    "parse_json_prefix",
    "parse_option",
    "parse_yaml",
    "parse_yaml_pairs",
    "quote_yaml",
    "read_json",
    "read_text",
    "refuse_lone_surrogates",
]
