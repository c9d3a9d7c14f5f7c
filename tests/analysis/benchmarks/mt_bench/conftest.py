"""Makes the rows of a small evaluation importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
