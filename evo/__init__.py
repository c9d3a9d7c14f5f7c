"""The search engine and the command line of evopo.

Losses are vetted in `sandbox`, trained in `fitness` and stored in `archive`, not here.
"""

import sys

from evo.cli.origin import keep_to_home

keep_to_home()
if sys.argv[:1] == ["-m"]:  # `python -m evo`: Python has put the current directory first on the search path
    import sandbox.vetting.path  # noqa: F401  (removes it from the search path)
