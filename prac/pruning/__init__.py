"""Pruning: masks, exact global magnitude, tentative masks and their stop, the masked step."""
