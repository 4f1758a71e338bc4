# syntax=docker/dockerfile:1
# Builder and final stage share one base, so the virtual environment works in both.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv .venv
# Dependencies first: this layer is rebuilt only when the lock changes.
COPY requirements-full.lock ./
RUN .venv/bin/pip install --require-hashes -r requirements-full.lock
COPY pyproject.toml README.md LICENSE ./
COPY strategy strategy
COPY knowledge knowledge
COPY validators validators
COPY agent agent
COPY evals evals
COPY api api
RUN .venv/bin/pip install --no-deps --no-build-isolation . \
    && .venv/bin/pip uninstall --yes pip hatchling editables \
    && .venv/bin/python -m compileall -q .venv

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="meshwright" \
      org.opencontainers.image.licenses="Apache-2.0"
# Only /data is written at run time, so the root file system may be mounted read-only; with Postgres, nothing is.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MESHWRIGHT_HOST=0.0.0.0 \
    MESHWRIGHT_PORT=8000 \
    MESHWRIGHT_DATABASE=sqlite:/data/meshwright.sqlite3
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin meshwright \
    && install --directory --owner=1000 --group=1000 /data
VOLUME /data
COPY --from=builder --chown=root:root /app/.venv /app/.venv
WORKDIR /app
USER 1000:1000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['MESHWRIGHT_PORT'] + '/healthz', timeout=2)"]
CMD ["meshwright", "serve"]
