"""Makes `loopback_llm`, which tests of several packages use, importable from this folder's tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
