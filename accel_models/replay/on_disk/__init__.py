"""Replays in files: rows as they are written, parts that are kept, and how they are joined."""
