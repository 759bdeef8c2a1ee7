"""The forecast: designed short runs, a law fitted to them, and what it says of larger ones."""
