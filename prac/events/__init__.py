"""Events: one row a presentation of a training sample; recorded, committed, reduced."""
