"""The search: its graph of stages, the steps, and what runs them in this process."""
