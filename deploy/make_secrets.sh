#!/usr/bin/env sh
# Make the secrets that docker-compose.yml reads: random passwords and, until you put a real one there, a
# self-signed certificate for the host named as the first argument. Writes nothing over. Needs openssl.
set -eu
host=${1:?name the host, such as smears.example.org}
command -v openssl >/dev/null || { echo "make_secrets: openssl is not installed. Nothing was made." >&2; exit 1; }
cd "$(dirname "$0")/.."
umask 077
mkdir -p secrets
# Each value stands in a variable before it is used: only there does a failure end this script.
put() { [ -s "secrets/$1" ] || { printf '%s' "$2" >secrets/.new && mv secrets/.new "secrets/$1"; }; }
new=$(openssl rand -hex 48); put secret_key "$new"
new=$(openssl rand -hex 32); put db_password "$new"
new=$(openssl rand -hex 32); put broker_password "$new"
db=$(cat secrets/db_password); put database_url "postgres://leukoweb:$db@db:5432/leukoweb"
broker=$(cat secrets/broker_password); put redis_url "redis://:$broker@broker:6379/0"
put s3_access_key "leukoweb"
new=$(openssl rand -hex 32); put s3_secret_key "$new"
if [ ! -s secrets/tls_key ] && [ ! -s secrets/tls_certificate ]; then
  said=$(openssl req -x509 -newkey rsa:3072 -sha256 -days 90 -nodes -subj "/CN=$host" \
    -addext "subjectAltName=DNS:$host" -keyout secrets/tls_key -out secrets/tls_certificate 2>&1) ||
    { echo "$said" >&2; rm -f secrets/tls_key secrets/tls_certificate; exit 1; }
fi
# The containers run as other users than you: the files must be readable there. The folder is closed to others here.
chmod 700 secrets && chmod 644 secrets/*
echo "Secrets for $host are in ./secrets. Keep a copy in a safe place; never commit them."
