"""The frozen language-model block: its definition, its fast evaluation, its adapter, and its weights."""
