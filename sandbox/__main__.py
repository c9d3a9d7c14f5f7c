"""`python -m sandbox`, and the console script `evopo-sandbox`.

The script is the documented way: `python -m` puts the current directory first on the module search path, and what Python
imports before this package has any say comes from there.
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
