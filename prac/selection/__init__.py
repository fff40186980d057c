"""Selection: which samples a round trains on, and why."""

from prac.selection.critical import critical_for_pruning, critical_for_training
from prac.selection.prac_set import PracSet, Reason, select_critical

__all__ = ["PracSet", "Reason", "critical_for_pruning", "critical_for_training", "select_critical"]
