#!/bin/sh
# Compose hands secrets over as files; MLflow and the S3 and PostgreSQL clients read variables:
# NAME_FILE=/run/secrets/x becomes NAME=<its content>, for this process and its children only.
set -eu

for name in AWS_SECRET_ACCESS_KEY PGPASSWORD MLFLOW_TRACKING_PASSWORD \
  MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY; do
  eval "path=\${${name}_FILE:-}"
  if [ -n "$path" ]; then
    value=$(cat "$path")
    export "$name=$value"
  fi
done

exec "$@"
