"""``python -m dfs_hw``, which ``torchrun -m dfs_hw`` needs."""

from __future__ import annotations

from dfs_hw.cli import main

if __name__ == "__main__":
    main()
