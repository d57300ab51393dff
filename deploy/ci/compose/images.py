"""Stand-ins for the images that docker-compose.yml and deploy/Dockerfile name: the same users, folders, volumes and
environment as the official images document, made from Debian's packages and Apache Kafka's own jars."""

import shutil
import subprocess
from pathlib import Path

from engine import obtained
from shell import run, say

DEBIAN = "debian:bookworm-slim"

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

POSTGRES = f"""FROM {DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* && ln -s /usr/lib/postgresql/*/bin/pg_isready /usr/local/bin/
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

REDIS = f"""FROM {DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends redis-server redis-tools util-linux && rm -rf /var/lib/apt/lists/* && mkdir -p /data && chown redis /data
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

KAFKA = rf"""FROM {DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 appuser && mkdir -p /opt/kafka/config /etc/kafka/docker /etc/kafka/secrets /var/lib/kafka/data /mnt/shared/config && printf 'group.coordinator.rebalance.protocols=classic,consumer\n' >/etc/kafka/docker/server.properties && touch /etc/kafka/docker/log4j2.yaml /etc/kafka/docker/tools-log4j2.yaml && chown -R appuser /opt/kafka /etc/kafka /var/lib/kafka /mnt/shared
COPY libs /opt/kafka/libs
COPY entrypoint /etc/kafka/docker/run
USER appuser
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
CMD ["/etc/kafka/docker/run"]
"""

# The build image: its `cargo` hands out the binary that was built outside, so that the check takes minutes. Everything
# else in deploy/Dockerfile is run as it stands.
RUST = f"""FROM {DEBIAN}
COPY cargo /usr/local/bin/cargo
COPY carillon /prebuilt/carillon
"""
CARGO = """#!/bin/sh
set -eu
profile=release
for argument; do case $argument in --profile=*) profile=${argument#--profile=} ;; esac; done
install -D /prebuilt/carillon "target/$profile/carillon"
"""

PROMETHEUS = f"""FROM {DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* && mkdir -p /prometheus && chown nobody /prometheus
USER nobody
VOLUME /prometheus
ENTRYPOINT ["prometheus"]
"""


class Images:
    def __init__(self, engine, work, kafka_libs, binary):
        self.engine, self.work, self.kafka_libs, self.binary = engine, work, kafka_libs, binary

    def make(self):
        self.debian()
        self.frontend()
        self.build("postgres:17-alpine", POSTGRES, {"entrypoint": POSTGRES_ENTRYPOINT})
        self.build("redis:8-alpine", REDIS, {"entrypoint": REDIS_ENTRYPOINT})
        self.build("apache/kafka:4.1.0", KAFKA, {"entrypoint": KAFKA_ENTRYPOINT, "libs": self.kafka_libs})
        self.build("prom/prometheus:v3.5.0", PROMETHEUS, {})
        stripped = self.work / "carillon"
        run("strip", "-o", str(stripped), str(self.binary))
        self.build("rust:1.95-bookworm", RUST, {"cargo": CARGO, "carillon": stripped})

    def has(self, name):
        return bool(self.engine.docker("image", "ls", "--quiet", name).strip())

    def debian(self):
        if self.has(DEBIAN):
            return
        say(f"making {DEBIAN}")
        root = self.work / "debian"
        obtained(DEBIAN, "debootstrap", "--variant=minbase", "bookworm", str(root), "http://deb.debian.org/debian")
        # The proxy of this machine, if it needs one to reach Debian's packages.
        for file in Path("/etc/apt/apt.conf.d").glob("*proxy*"):
            shutil.copy(file, root / "etc/apt/apt.conf.d")
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", DEBIAN], stdin=tar.stdout, env=self.engine.env, check=True, stdout=subprocess.DEVNULL)
        tar.wait()
        shutil.rmtree(root)

    def frontend(self):
        name = "docker/dockerfile:1"
        if self.has(name):
            return
        dockerfile = (
            "FROM scratch\nCOPY dockerfile-frontend /bin/dockerfile-frontend\n"
            'LABEL moby.buildkit.frontend.network.none="true"\n'
            'LABEL moby.buildkit.frontend.caps="moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts"\n'
            'ENTRYPOINT ["/bin/dockerfile-frontend"]\n'
        )
        self.build(name, dockerfile, {"dockerfile-frontend": self.engine.frontend})

    def build(self, name, dockerfile, files):
        context = self.work / "context"
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir()
        (context / "Dockerfile").write_text(dockerfile)
        for path, content in files.items():
            target = context / path
            if isinstance(content, str):
                target.write_text(content)
                target.chmod(0o755)
            elif content.is_dir():
                shutil.copytree(content, target)
            else:
                shutil.copy2(content, target)
        say(f"making {name}")
        self.engine.docker("build", "--quiet", "--tag", name, str(context), timeout=900)
        shutil.rmtree(context)
