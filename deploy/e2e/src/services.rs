//! Kafka, PostgreSQL behind PgBouncer, and Redis. `deploy/ci/services` starts them for one run, so the run may kill
//! them.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use carillon_testkit::installation::free_port;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The running services. Dropping this ends them and deletes their data.
#[derive(Debug)]
pub(crate) struct Services {
    script: Script,
    kept: bool,
    dir: tempfile::TempDir,
}

/// The script and its environment.
#[derive(Debug, Clone)]
struct Script {
    dir: PathBuf,
    kafka: u16,
    postgres: u16,
    pgbouncer: u16,
    redis: u16,
}

impl Services {
    /// Starts all services on free ports.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("carillon-e2e-services-")
            .tempdir()?;
        // PostgreSQL runs as another user.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        let script = Script {
            dir: dir.path().to_owned(),
            kafka: free_neighbours(),
            postgres: free_port(),
            pgbouncer: free_port(),
            redis: free_port(),
        };
        let services = Self {
            script,
            kept: false,
            dir,
        };
        services.script.clone().run(&["up"]).await?;
        Ok(services)
    }

    /// The addresses of the services.
    pub(crate) fn addresses(&self) -> carillon_testkit::installation::Services {
        let Script {
            kafka,
            postgres,
            redis,
            ..
        } = self.script;
        carillon_testkit::installation::Services {
            brokers: format!("127.0.0.1:{kafka}"),
            database: format!("postgres://carillon@127.0.0.1:{postgres}/carillon"),
            redis: format!("redis://127.0.0.1:{redis}/0"),
        }
    }

    /// The folder of logs and data.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills a service by SIGKILL; its data stays.
    pub(crate) async fn kill(&self, name: &'static str) -> anyhow::Result<()> {
        self.script.clone().run(&["kill", name]).await
    }

    /// Starts a service again and waits until it answers.
    pub(crate) async fn up(&self, name: &'static str) -> anyhow::Result<()> {
        self.script.clone().run(&["up", name]).await
    }

    /// Deletes all data in Redis; `false` if it does not answer.
    pub(crate) async fn flush(&self) -> bool {
        let flush = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.script.redis)).await?;
            stream.write_all(b"FLUSHALL\r\n").await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(&answer == b"+OK\r\n")
        };
        matches!(
            tokio::time::timeout(Duration::from_secs(5), flush).await,
            Ok(Ok(true))
        )
    }

    /// Keeps logs and data.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
        self.dir.disable_cleanup(true);
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let end = if self.kept { "down" } else { "wipe" };
        if let Err(error) = self.script.call(&[end]).output() {
            eprintln!("carillon-e2e: deploy/ci/services {end}: {error}");
        }
    }
}

impl Script {
    fn call(&self, args: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/services");
        let mut command = Command::new(script);
        command
            .args(args)
            .env("CARILLON_CI_DIR", &self.dir)
            .env("CARILLON_CI_KAFKA_PORT", self.kafka.to_string())
            .env("CARILLON_CI_POSTGRES_PORT", self.postgres.to_string())
            .env("CARILLON_CI_PGBOUNCER_PORT", self.pgbouncer.to_string())
            .env("CARILLON_CI_REDIS_PORT", self.redis.to_string())
            .stdin(Stdio::null());
        command
    }

    async fn run(self, args: &[&'static str]) -> anyhow::Result<()> {
        let what = args.join(" ");
        let mut command = self.call(args);
        // The output of services goes to their logs. They would keep an inherited pipe open.
        let log = self.dir.join("script.log");
        let open = || std::fs::File::options().create(true).append(true).open(&log);
        command.stdout(open()?).stderr(open()?);
        let Output { status, .. } = tokio::task::spawn_blocking(move || command.output()).await??;
        anyhow::ensure!(
            status.success(),
            "deploy/ci/services {what} failed; see {}",
            log.display()
        );
        Ok(())
    }
}

/// A free port whose successor is free too, for Kafka's controller.
fn free_neighbours() -> u16 {
    loop {
        let port = free_port();
        if TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// Checks that the script exists, that is, that this program runs in its repository.
pub(crate) fn check() -> anyhow::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/services");
    script
        .canonicalize()
        .map(drop)
        .with_context(|| format!("{}: run this program in its repository", script.display()))
}
