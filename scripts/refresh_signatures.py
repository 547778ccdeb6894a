"""Write ``sysdash/signatures.txt`` anew: the arguments of system calls, as this kernel names them.

``sudo .venv/bin/python scripts/refresh_signatures.py`` with tracefs mounted
(``mount -t tracefs none /sys/kernel/tracing``) takes what the running kernel says of its calls into
the file. Lines about calls of which it says nothing are kept: it may lack them, and there are calls
that no kernel tells of.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from sysdash.arguments import SIGNATURES, Signature, of_formats, parse, unparse  # noqa: E402
from sysdash.probes import tracefs  # noqa: E402

_HEADING = """\
# The arguments of system calls: "name type argument, type argument". A line that begins with
# "ia32/" is about the call as 32-bit programs make it, where that differs.
# Made by scripts/refresh_signatures.py, last on Linux {kernel}. Calls of which
# the kernel's tracefs does not tell were added by hand.
"""


def merged(before: str, found: dict[str, Signature], kernel: str) -> str:
    """The file's new text.

    Args:
        before: its text until now.
        found: what the kernel says, by the name of the call.
        kernel: its version.
    """
    known = parse(before) | found
    lines = [unparse(name, known[name]) for name in sorted(known)]
    return _HEADING.format(kernel=kernel) + "\n".join(lines) + "\n"


def main() -> None:
    """Refresh the file."""
    found = of_formats(tracefs.formats())
    if not found:
        sys.exit("tracefs cannot be read; is it mounted? mount -t tracefs none /sys/kernel/tracing")
    kernel = os.uname().release.partition("-")[0]
    before = SIGNATURES.read_text(encoding="utf-8") if SIGNATURES.exists() else ""
    after = merged(before, found, kernel)
    SIGNATURES.write_text(after, encoding="utf-8")
    print(f"{len(found)} calls of Linux {kernel}, {len(parse(after))} in all")  # noqa: T201


if __name__ == "__main__":
    main()
