# The example application, for docker-compose.yml: web, worker, daily check, migration, stand-in and demo are commands of one image.
ARG PYTHON_IMAGE=python:3.13.16-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# What changes seldom comes first: packages are installed again only when their pins change.
COPY requirements/image-build.txt requirements/image.txt requirements/
RUN python3 -m venv /build && /build/bin/pip install --quiet --require-hashes -r requirements/image-build.txt \
 && python3 -m venv --without-pip /venv \
 && /build/bin/pip --python /venv/bin/python install --quiet --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY telemetry telemetry
COPY exporters exporters
COPY migrations migrations
# What the wheel has for `flask telemetry assets`.
COPY collector collector
COPY docs/runbooks docs/runbooks
COPY grafana/dashboards grafana/dashboards
COPY grafana/host_values.json grafana/
COPY prometheus prometheus
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /build/bin/pip --python /venv/bin/python install --quiet --no-deps /wheels/*.whl

FROM ${PYTHON_IMAGE}
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# These folders belong to the user, and so does a new volume that is mounted there.
RUN groupadd --gid 10001 screener && useradd --uid 10001 --gid screener --no-create-home --shell /usr/sbin/nologin screener \
 && mkdir -p /app /var/lib/screener/spool /assets/docs/runbooks /assets/grafana/dashboards /assets/prometheus/rules /queues /traces \
 && chown -R screener:screener /var/lib/screener /assets /queues /traces && chmod 700 /var/lib/screener/spool
COPY --from=build /venv /venv
WORKDIR /app
COPY examples/__init__.py examples/
COPY examples/screener examples/screener
USER screener
EXPOSE 8000
CMD ["gunicorn", "--bind=0.0.0.0:8000", "--workers=2", "--threads=4", "--timeout=600", "--worker-tmp-dir=/dev/shm", "--no-control-socket", "examples.screener.wsgi:app"]
