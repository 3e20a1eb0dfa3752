"""The report on forecasters: tables, charts, pictures of scenes, and the player of replays."""
