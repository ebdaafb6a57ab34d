# Two images from one file: `web` (no PyTorch) and `worker`.
FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 LEUKOWEB_MODE=production DATA_DIR=/data
WORKDIR /app
RUN groupadd --gid 10001 leukoweb && useradd --uid 10001 --gid 10001 --no-create-home --home /app leukoweb \
    && mkdir /data && chown leukoweb:leukoweb /data
COPY pyproject.toml constraints.txt README.md ./
COPY leukoweb/__init__.py leukoweb/__init__.py
COPY cases/__init__.py cases/__init__.py
COPY inference/__init__.py inference/__init__.py
COPY reader_study/__init__.py reader_study/__init__.py

FROM base AS web
RUN pip install -c constraints.txt -e '.[s3]'
COPY . .
RUN SECRET_KEY=only-while-building-0123456789-0123456789-0123456789 ALLOWED_HOSTS=localhost \
    DATABASE_URL=postgres://build:build@localhost/build python manage.py collectstatic --noinput
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s CMD ["python", "-c", "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8000/healthz', headers={'X-Forwarded-Proto': 'https', 'Host': 'localhost'}), timeout=4)"]
CMD ["gunicorn", "leukoweb.wsgi", "--bind", "0.0.0.0:8000", "--preload", "--worker-class", "gthread", "--workers", "3", "--threads", "8", "--timeout", "120"]

FROM base AS worker
RUN pip install -c constraints.txt -e '.[ai,s3]'
COPY . .
USER 10001:10001
CMD ["celery", "-A", "leukoweb", "worker", "-Q", "infer", "-c", "1", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
