# Freehold in a container: docker build -t freehold .
#   docker run -p 8484:8484 -v freehold-data:/data freehold
# Without local models: docker build --build-arg FEATURES=--no-default-features .

FROM rust:1-slim-trixie AS build
ARG FEATURES=""
# The embedded SQLite and the TLS library have some C in them.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package freehold-server ${FEATURES} \
    && install -D target/release/freehold /out/freehold \
    && install -d --mode 0700 /out/data /out/models

FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /out/freehold /usr/local/bin/freehold
COPY --from=build --chown=nonroot:nonroot /out/data /data
COPY --from=build --chown=nonroot:nonroot /out/models /models
# A container is reached from outside of itself, so it listens on all of its
# addresses; who may use it is decided by keys.
ENV FREEHOLD_LISTEN=0.0.0.0:8484 \
    FREEHOLD_DATA=/data \
    FREEHOLD_MODELS=/models \
    FREEHOLD_LOG_FORMAT=json
USER nonroot
VOLUME ["/data", "/models"]
EXPOSE 8484
# It drains on SIGTERM, which is what `docker stop` sends; give it time:
# docker stop --time 40
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/freehold"]
CMD ["serve"]
