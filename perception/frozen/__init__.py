"""The frozen language-model block: its plain definition, its adapter, and where its weights come from."""
