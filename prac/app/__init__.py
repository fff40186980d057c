"""What a command does, from checked options to its last line."""
