"""Results that took long are made once, and anew if they were made from something else."""

from pathlib import Path
from typing import Any

from dfs_hw.baselines.kept import kept


def test_what_was_made_from_something_else_is_made_again(tmp_path: Path) -> None:
    path, made = tmp_path / "a.json", []

    def make() -> dict[str, Any]:
        made.append(1)
        return {"figures": (1.5, len(made))}

    assert kept(path, {"seed": (1, 2)}, make, dict[str, Any]) == {"figures": [1.5, 1]}
    assert kept(path, {"seed": (1, 2)}, make, dict[str, Any]) == {"figures": [1.5, 1]}
    assert kept(path, {"seed": (1, 3)}, make, dict[str, Any]) == {"figures": [1.5, 2]}
