"""What tests of several folders share; pytest's `pythonpath` makes it importable as `support`."""
