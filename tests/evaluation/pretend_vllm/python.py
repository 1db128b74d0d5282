"""Runs a script like the Python of an environment that has the pretend vLLM: `python.py -I SCRIPT`."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    runpy.run_path(sys.argv[-1], run_name="__main__")
