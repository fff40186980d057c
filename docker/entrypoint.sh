#!/bin/sh
# Compose hands secrets over as files, the S3 and PostgreSQL clients read variables:
# NAME_FILE=/run/secrets/x becomes NAME=<its content>, for this process and its children only.
set -eu

for name in AWS_SECRET_ACCESS_KEY PGPASSWORD; do
  eval "path=\${${name}_FILE:-}"
  if [ -n "$path" ]; then
    value=$(cat "$path")
    export "$name=$value"
  fi
done

exec "$@"
