"""Events: one row a presentation of a training sample; recorded, committed, reduced."""

from prac.events.counter import STATISTICS_SCHEMA, ForgettingCounter
from prac.events.log import EventLog
from prac.events.recorder import EventRecorder
from prac.events.schema import EVENT_SCHEMA, event_columns
from prac.events.statistics import forgetting_statistics

__all__ = [
    "EVENT_SCHEMA",
    "STATISTICS_SCHEMA",
    "EventLog",
    "EventRecorder",
    "ForgettingCounter",
    "event_columns",
    "forgetting_statistics",
]
