"""Plain values: states, options, records, filters, settings, texts, bytes."""
