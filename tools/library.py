"""Makes the library in `scripts/` importable, whatever directory a program of this folder is started from."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
