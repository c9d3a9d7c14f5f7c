"""Entry point of `python -m sandbox` and of the console script `evopo-sandbox`.

The script is the documented form: `python -m` puts the current directory first on the module search path, so modules that Python
imports before this package runs can come from there.
"""

import sys

from sandbox.vetting.path import leave_current_directory


def main() -> None:
    """Run the command line."""
    leave_current_directory()
    from sandbox.vetting.cli import run

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
