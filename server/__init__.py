"""The service: `api > clinical > inference > engine | grammar | privacy`."""
