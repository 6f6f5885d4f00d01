"""What replays come to: summaries, comparisons with static networks, what each rule is worth."""
