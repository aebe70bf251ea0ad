"""`bench/` holds scripts, not a package: its modules are imported by their plain names."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench"))
