"""What each kind of stage does: one function a kind, from typed inputs to what it made."""
