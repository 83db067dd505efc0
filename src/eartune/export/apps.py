"""Exports for apps: the file name of a model, and how to install it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eartune.errors import InputError
from eartune.family import AppExport, families, family_named, joined
from eartune.languages import LANGUAGE_NAMES


@dataclass(frozen=True)
class HandOver:
    """An export for an app: its format and file name, and the page on how to install it there."""

    format: str
    file_name: str
    app: str
    notes_name: str
    notes: str


def hand_over(app: str, family: str, language: str | None) -> HandOver:
    """Return the export of a family for an app. Raises InputError for models that the app does not run."""
    export = family_named(family).apps.get(app)
    if export is None:
        able = [each.title for each in families().values() if app in each.apps]
        raise InputError(f"--for {app}: it runs {joined(able)}, not {family_named(family).title}")
    app_language = LANGUAGE_NAMES.get(language, language).lower().replace(" ", "_") if language else "custom"
    name = export.file_name.format(language=app_language)
    return HandOver(export.format, name, app.capitalize(), f"{app.upper()}.md", APPS[app](name, export))


def _mimir(name: str, export: AppExport) -> str:
    return f"""# Handing {name} over to Mimir

1. Copy the file to the Mac:

```bash
mkdir -p "$HOME/Library/Application Support/mimir/models"
cp {name} "$HOME/Library/Application Support/mimir/models/"
```

2. In Mimir's `{export.source}`:

```{export.syntax}
{export.line.replace("{file}", name)}
```
"""


# app -> its page, of a file name and a declaration
APPS: Mapping[str, Callable[[str, AppExport], str]] = {"mimir": _mimir}
