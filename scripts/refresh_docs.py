"""Write what the documentation repeats from the program: tables of keys and options, the defaults.

``.venv/bin/python scripts/refresh_docs.py`` rewrites, in every page of ``docs/``, what lies between

    <!-- generated: NAME -->
    <!-- end -->

by the function of that name in :data:`PARTS`. A test fails where a page is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from sysdash import keys  # noqa: E402
from sysdash.commands import COMMANDS, parsers  # noqa: E402

_PART = re.compile(r"(<!-- generated: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def options(command: str) -> str:
    """The options of a command."""
    lines = ["| option | what it does |", "|---|---|"]
    for option, what in parsers.command(command).options():
        cell = option.replace("|", "\\|")
        lines.append(f"| `{cell}` | {what} |")
    return "\n".join(lines)


def examples(command: str) -> str:
    """The examples of a command's help."""
    lines = ["| example | what it shows |", "|---|---|"]
    lines += [f"| `{line}` | {what} |" for line, what in COMMANDS[command].examples]
    return "\n".join(lines)


def configuration() -> str:
    """The file with every key and its default."""
    text = (ROOT / "config.toml").read_text(encoding="utf-8")
    return f"```toml\n{text.rstrip()}\n```"


PARTS: dict[str, Callable[[], str]] = {
    "keys": keys.markdown,
    "configuration": configuration,
    **{f"options of {name}": partial(options, name) for name in COMMANDS},
    **{f"examples of {name}": partial(examples, name) for name in COMMANDS},
}


def refreshed(text: str) -> str:
    """A page with its generated parts made anew.

    Raises:
        KeyError: it names a part that is not one of :data:`PARTS`.
    """
    return _PART.sub(
        lambda part: f"{part[1]}\n{PARTS[part[2]]().rstrip()}\n\n{part[4]}",
        text,
    )


def main() -> None:
    """Refresh every page."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = refreshed(before)
        if after != before:
            page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
