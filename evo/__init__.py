"""The engine and the command line."""

import sys

from evo.cli.origin import keep_to_home

keep_to_home()
if sys.argv[:1] == ["-m"]:  # `python -m evo`, while Python looks for the module with the current directory first
    import sandbox.vetting.path  # noqa: F401  (takes it off the search path)
