"""Sweeps over the selection: what varies, and what each trial found."""
