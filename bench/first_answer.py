"""One cold start: import a function's module, answer one event, print the answer.

`python bench/first_answer.py MODULE < EVENT` is what cold_start.py times, from outside.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module


def main() -> None:
    """Take the module's name from the command line and the event from standard input."""
    handler = import_module(sys.argv[1]).handler
    print(json.dumps(handler(json.load(sys.stdin), None)), flush=True)


if __name__ == "__main__":
    main()
