"""Which tokens stand out before, in and behind the frozen block, and whether those are the tokens that matter."""
