# Targets: `serve`, the default, runs the model on ONNX Runtime and contains no torch; `torch` adds the
# torch engine.
FROM python:3.11-slim AS environment
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
RUN python3 -m venv /opt/sentiment
COPY requirements requirements
COPY tools tools
RUN tools/install.sh /opt/sentiment/bin/pip requirements/serve.txt
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY service service
RUN /opt/sentiment/bin/pip install --quiet --no-deps --no-build-isolation .

FROM environment AS build
RUN tools/finish-image.sh

FROM environment AS build-torch
# Extra arguments for installing torch, for a machine that has the wheel: --find-links ...
ARG PIP_EXTRA_ARGS=""
# The index of CPU builds of torch, if no wheel is at hand.
ARG TORCH_INDEX="https://download.pytorch.org/whl/cpu"
# PIP_EXTRA_ARGS is unquoted because it may hold several words.
# hadolint ignore=SC2086
RUN TORCH_INDEX="$TORCH_INDEX" tools/install-torch.sh /opt/sentiment/bin/pip $PIP_EXTRA_ARGS \
 && tools/install.sh /opt/sentiment/bin/pip requirements/torch.txt \
 && tools/finish-image.sh

FROM python:3.11-slim AS runtime
LABEL org.opencontainers.image.title="zh-sentiment" \
      org.opencontainers.image.description="Says whether a Chinese text is positive, neutral or negative." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim"
ENV PATH=/opt/sentiment/bin:$PATH PYTHONUNBUFFERED=1 SENTIMENT_HOST=0.0.0.0
# Numeric, so that Kubernetes can verify it is not root.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["sentiment", "health"]
ENTRYPOINT ["sentiment"]
CMD ["serve"]

FROM runtime AS torch
COPY --from=build-torch /opt/sentiment /opt/sentiment

FROM runtime AS serve
COPY --from=build /opt/sentiment /opt/sentiment
