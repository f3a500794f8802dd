"""docs/python.md runs as it stands, block after block, as one script."""

import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_guide_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) >= 7
    script = tmp_path / "guide.py"
    script.write_text("print('once')\n" + "\n".join(blocks))
    found = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("once") == 1  # workers do not import the script
    assert (tmp_path / "mine.onnx").is_file()
    assert "expected" in found.stdout.splitlines()[-1]
