"""How a token embedding becomes a query, a key and a value."""
