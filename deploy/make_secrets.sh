#!/usr/bin/env sh
# Make the secrets that docker-compose.yml reads: random passwords and, until you put a real one there, a
# self-signed certificate for the host named as the first argument. Writes nothing over.
set -eu
host=${1:?name the host, such as smears.example.org}
cd "$(dirname "$0")/.."
umask 077
mkdir -p secrets
random() { python3 -c 'import secrets; print(secrets.token_urlsafe(48), end="")'; }
put() { [ -e "secrets/$1" ] || printf '%s' "$2" >"secrets/$1"; }
put secret_key "$(random)$(random)"
put db_password "$(random)"
put broker_password "$(random)"
put database_url "postgres://leukoweb:$(cat secrets/db_password)@db:5432/leukoweb"
put redis_url "redis://:$(cat secrets/broker_password)@broker:6379/0"
put s3_access_key "leukoweb"
put s3_secret_key "$(random)"
if [ ! -e secrets/tls_key ]; then
  openssl req -x509 -newkey rsa:3072 -sha256 -days 90 -nodes -subj "/CN=$host" -addext "subjectAltName=DNS:$host" \
    -keyout secrets/tls_key -out secrets/tls_certificate 2>/dev/null
fi
# The containers run as other users than you: the files must be readable there. The folder is closed to others here.
chmod 700 secrets && chmod 644 secrets/*
echo "Secrets for $host are in ./secrets. Keep a copy in a safe place; never commit them."
