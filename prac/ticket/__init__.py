"""Tickets: the format, what one costs, and what can be made of one."""
