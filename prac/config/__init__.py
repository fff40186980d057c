"""Everything that changes a result, as typed values: sections, methods, whole recipes."""
