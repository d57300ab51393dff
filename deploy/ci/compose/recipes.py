"""Recipes of stand-ins for the images that docker-compose.yml and deploy/Dockerfile name: the same users, folders, volumes
and environment as the official images document, made from Debian's packages and Apache Kafka's own jars."""

from pathlib import Path

DEBIAN = "debian:bookworm-slim"
# As in the official image, so that sizes are comparable: no documentation, and nothing left of a download.
DEBIAN_FILES = {
    "etc/dpkg/dpkg.cfg.d/slim": "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n",
    "etc/apt/apt.conf.d/clean": 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
}
DEBIAN_WITHOUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")

# All packages in one transaction: each image of its own would read the package lists again. Without fsync, since a machine
# that fails makes the image anew; without a cluster, since the entry point makes it.
PACKAGED = "carillon-check/packages"
PACKAGES = f"""FROM {DEBIAN}
RUN echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/unsafe-io && mkdir /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf && apt-get update && apt-get install -y --no-install-recommends postgresql redis-server redis-tools util-linux openjdk-17-jre-headless prometheus python3 && rm -rf /var/lib/apt/lists/*
"""

POSTGRES_ENTRYPOINT = r"""#!/bin/bash
# As the official image documents: POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD[_FILE], PGDATA.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
if [ "$(id -u)" = 0 ]; then
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); export POSTGRES_PASSWORD; unset POSTGRES_PASSWORD_FILE; fi
  mkdir -p "$PGDATA" /var/run/postgresql
  chown -R postgres "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf '%s' "$POSTGRES_PASSWORD" >/tmp/pw
  "$bin/initdb" -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/pw --auth-local=trust --auth-host=scram-sha-256 -E UTF8 >/dev/null
  rm /tmp/pw
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  "$bin/pg_ctl" -D "$PGDATA" -w -o "-c listen_addresses=''" start >/dev/null
  [ "$POSTGRES_DB" = postgres ] || "$bin/createdb" -U "$POSTGRES_USER" "$POSTGRES_DB"
  "$bin/pg_ctl" -D "$PGDATA" -m fast -w stop >/dev/null
fi
shift # `postgres`
exec "$bin/postgres" -D "$PGDATA" -c listen_addresses='*' "$@"
"""

# Users by the numbers of the official images: deploy/compose/make-certificates gives each server its key by them.
POSTGRES = f"""FROM {PACKAGED}
RUN groupmod --gid 70 postgres && usermod --uid 70 postgres && chown -R postgres:postgres /var/lib/postgresql /var/run/postgresql && ln -s /usr/lib/postgresql/*/bin/pg_isready /usr/local/bin/
COPY entrypoint /usr/local/bin/docker-entrypoint.sh
ENV PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
"""

# The official image's servers take connections from other hosts without a password.
REDIS_ENTRYPOINT = """#!/bin/bash
set -eu
[ "$1" = redis-server ] && set -- "$@" --protected-mode no
exec setpriv --reuid=redis --regid=redis --clear-groups "$@"
"""

REDIS = f"""FROM {PACKAGED}
RUN usermod --uid 999 redis && mkdir -p /data && chown redis /data
COPY entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
"""

# The official image's own program turns KAFKA_* into properties and formats the storage: it comes with the jars.
KAFKA_ENTRYPOINT = r"""#!/bin/bash
set -eu
export KAFKA_CLUSTER_ID=$CLUSTER_ID
said=$(java -cp '/opt/kafka/libs/*' kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1) ||
  grep -qi 'already formatted' <<<"$said" || { printf '%s\n' "$said" >&2; exit 1; }
exec java ${KAFKA_HEAP_OPTS:-} -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties
"""

KAFKA = rf"""FROM {PACKAGED}
RUN useradd --uid 1000 appuser && mkdir -p /opt/kafka/config /etc/kafka/docker /etc/kafka/secrets /var/lib/kafka/data /mnt/shared/config && printf 'group.coordinator.rebalance.protocols=classic,consumer\n' >/etc/kafka/docker/server.properties && touch /etc/kafka/docker/log4j2.yaml /etc/kafka/docker/tools-log4j2.yaml && chown -R appuser /opt/kafka /etc/kafka /var/lib/kafka /mnt/shared
COPY libs /opt/kafka/libs
COPY entrypoint /etc/kafka/docker/run
USER appuser
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
CMD ["/etc/kafka/docker/run"]
"""

# The build image. Its `cargo` hands out the binary that was built outside, so the check takes minutes. The build
# context has to have all files that the outer build read. Everything else in deploy/Dockerfile runs unchanged.
RUST = f"""FROM {DEBIAN}
COPY cargo /usr/local/bin/cargo
COPY carillon sources /prebuilt/
"""
CARGO = """#!/bin/sh
set -eu
while read -r file; do
  [ -z "$file" ] || [ -e "$file" ] || { echo "the build context lacks $file (deploy/Dockerfile.dockerignore)" >&2; exit 1; }
done </prebuilt/sources
profile=release
for argument; do case $argument in --profile=*) profile=${argument#--profile=} ;; esac; done
install -D /prebuilt/carillon "target/$profile/carillon"
"""

# As Google builds it: the files of these packages of Debian 13, unpacked, with the certificates in one file and two variables.
DISTROLESS_PACKAGES = "base-files ca-certificates gcc-14-base libc6 libgcc-s1 libgomp1 libssl3t64 libstdc++6 libzstd1 media-types netbase tzdata zlib1g"
DISTROLESS = f"""FROM {DEBIAN} AS unpack
RUN sed 's/bookworm/trixie/' /etc/apt/sources.list >/tmp/trixie.list && apt-get -o Dir::Etc::SourceList=/tmp/trixie.list -o Dir::Etc::SourceParts=/dev/null update
WORKDIR /packages
RUN apt-get -o Dir::Etc::SourceList=/tmp/trixie.list -o Dir::Etc::SourceParts=/dev/null download {DISTROLESS_PACKAGES} && mkdir /root-of-image && for package in *.deb; do dpkg-deb -x $package /root-of-image; done
WORKDIR /root-of-image
RUN find . -path './usr/share/ca-certificates/*.crt' -print0 | sort -z | xargs -0 cat >/tmp/authorities && mkdir -p etc/ssl/certs && mv /tmp/authorities etc/ssl/certs/ca-certificates.crt && rm -rf usr/share/man usr/share/locale usr/share/ca-certificates && printf 'root:x:0:0:root:/root:/sbin/nologin\\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\\n' >etc/passwd && mkdir -p tmp && chmod 1777 tmp

FROM scratch
COPY --from=unpack /root-of-image /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
"""

PROMETHEUS = f"""FROM {PACKAGED}
RUN mkdir -p /prometheus && chown nobody /prometheus
USER nobody
VOLUME /prometheus
ENTRYPOINT ["prometheus"]
"""

# In the places of the OpenTelemetry collector and of Jaeger: it keeps the received spans.
SINK = f"""FROM {PACKAGED}
COPY sink.py /sink.py
USER nobody
ENTRYPOINT ["python3", "-B", "/sink.py"]
"""


def stand_ins(kafka_libs):
    """Name, Dockerfile and files of each image, in the order of making."""
    sink = {"sink.py": Path(__file__).with_name("sink.py")}
    return [
        (PACKAGED, PACKAGES, {}),
        ("gcr.io/distroless/cc-debian13", DISTROLESS, {}),
        ("postgres:17-alpine", POSTGRES, {"entrypoint": POSTGRES_ENTRYPOINT}),
        ("redis:8-alpine", REDIS, {"entrypoint": REDIS_ENTRYPOINT}),
        ("apache/kafka:4.1.0", KAFKA, {"entrypoint": KAFKA_ENTRYPOINT, "libs": kafka_libs}),
        ("prom/prometheus:v3.5.0", PROMETHEUS, {}),
        ("otel/opentelemetry-collector:0.131.0", SINK, sink),
        ("jaegertracing/jaeger:2.8.0", SINK, sink),
    ]
