"""Types of values as keys of caches."""

import pickle
import subprocess
import sys

from sandbox.graph.types import Dim, Type


def test_a_type_is_found_in_a_cache_of_another_process_too() -> None:
    program = "import pickle, sys; from sandbox.graph.types import Dim, Type; b = Type('float', (Dim.of('B'),))\n"
    sent = pickle.dumps(Type("float", (Dim.of("B"),)))
    program += f"print({{b: 'found'}}[pickle.loads({sent!r})])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "found\n", done.stderr
