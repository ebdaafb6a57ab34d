# Two images from one file: `web` (no PyTorch) and `worker`.
# Debian 13 (trixie) by name: its PostgreSQL programs are those of version 17, the database's in docker-compose.yml.
# An older pg_dump refuses a newer server, and a newer pg_restore writes settings that an older server does not know.
FROM python:3.13-slim-trixie AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 LEUKOWEB_MODE=production DATA_DIR=/data
WORKDIR /app
RUN groupadd --gid 10001 leukoweb && useradd --uid 10001 --gid 10001 --no-create-home --home /app leukoweb \
    && mkdir /data && chown leukoweb:leukoweb /data
COPY pyproject.toml constraints.txt README.md ./
COPY leukoweb/__init__.py leukoweb/__init__.py
COPY cases/__init__.py cases/__init__.py
COPY inference/__init__.py inference/__init__.py
COPY reader_study/__init__.py reader_study/__init__.py

# Also the image of worker-ops and backup: text in pixels ([deid]) is looked for there, DICOM ([interop]) written here.
FROM base AS web
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client-17 && rm -rf /var/lib/apt/lists/*
RUN pip install -c constraints.txt -e '.[s3,interop,deid]'
COPY . .
RUN SECRET_KEY=only-while-building-0123456789-0123456789-0123456789 ALLOWED_HOSTS=localhost \
    DATABASE_URL=postgres://build:build@localhost/build python manage.py collectstatic --noinput
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s CMD ["python", "deploy/healthcheck.py", "http://127.0.0.1:8000/healthz"]
CMD ["gunicorn", "leukoweb.wsgi", "--bind", "0.0.0.0:8000", "--preload", "--worker-class", "gthread", "--workers", "3", "--threads", "8", "--timeout", "120", "--no-control-socket"]

FROM base AS worker
RUN pip install -c constraints.txt -e '.[ai,s3]'
COPY . .
ENV TORCH_HOME=/data/cache/torch
USER 10001:10001
# As on a machine with a GPU; docker-compose.yml splits it on a CPU.
CMD ["celery", "-A", "leukoweb", "worker", "-Q", "infer,train", "-c", "1", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
