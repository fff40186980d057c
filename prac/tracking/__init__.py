"""MLflow as the store of finished stages and the registry of tickets: the only MLflow imports."""
