//! A whole Carillon for one test: embedded (`carillon dev`), or one process for each role on the real services.

mod client;
mod process;
mod roles;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use carillon_runtime::{
    Secret,
    http::{ClientOptions, client},
};
use carillon_store::schema;
use serde_json::{Value, json};
use uuid::Uuid;

pub use self::process::Role;
use self::process::carillon;
use crate::{kafka_brokers, postgres_url, redis_url, wait_for};

/// Whether all three real services are configured.
#[must_use]
pub fn is_distributed() -> bool {
    Services::from_env().is_some()
}

/// The addresses of the real services.
#[derive(Debug, Clone)]
pub struct Services {
    /// Kafka's `host:port`.
    pub brokers: String,
    /// PostgreSQL's URL.
    pub database: String,
    /// Redis's URL.
    pub redis: String,
}

impl Services {
    /// The services that the environment names; `None` unless it names all three.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        Some(Self {
            brokers: kafka_brokers()?,
            database: postgres_url()?,
            redis: redis_url()?,
        })
    }
}

/// A role's name in an installation, and the arguments that start it.
pub type RoleArgs = (&'static str, &'static [&'static str]);

/// The default processes: two routers and two e-mail workers, one of each other role.
pub const ROLES: &[RoleArgs] = &[
    ("simulator", &["simulator"]),
    ("gateway", &["gateway"]),
    ("router-1", &["router"]),
    ("router-2", &["router"]),
    ("email-1", &["worker", "--channel", "email"]),
    ("email-2", &["worker", "--channel", "email"]),
    ("sms", &["worker", "--channel", "sms"]),
    ("push", &["worker", "--channel", "push"]),
    ("webhook", &["worker", "--channel", "webhook"]),
    ("tracker", &["tracker"]),
    ("scheduler", &["scheduler"]),
];

/// The setup of an installation.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The `carillon` binary.
    pub binary: PathBuf,
    /// The services; `None`: embedded, in one process.
    pub services: Option<Services>,
    /// The processes of the distributed mode.
    pub roles: &'static [RoleArgs],
    /// Additional settings, without the prefix `CARILLON_`. In a value, `{simulator}` stands for the simulator's URL and
    /// `{gateway}` for the gateway's.
    pub settings: Vec<(String, String)>,
    /// Additional arguments of `carillon dev`.
    pub dev_args: &'static [&'static str],
}

/// A running installation.
#[derive(Debug)]
pub struct Installation {
    /// The gateway's URL.
    pub url: String,
    /// The simulator's URL.
    pub simulator: String,
    /// An admin's API key.
    pub key: String,
    /// The prefix of the topics' names.
    pub prefix: String,
    http: reqwest::Client,
    setup: Setup,
    environment: Vec<(String, String)>,
    roles: BTreeMap<&'static str, Role>,
    /// The port of each role, which is the same after a restart.
    ports: BTreeMap<&'static str, u16>,
    dir: tempfile::TempDir,
    schema: Option<(String, String)>,
}

/// A free loopback port. It lies below the range that the system gives to outgoing connections, so that it is still
/// free when a killed process is started again. Each port is returned once, because the process that it was given to
/// may not listen yet.
#[must_use]
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let ports = std::iter::repeat_with(|| {
        // The last bytes of a UUID are random.
        let [.., high, low] = *Uuid::now_v7().as_bytes();
        10_000 + u16::from_be_bytes([high, low]) % 20_000
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports
        .take(1_000)
        .filter(is_free)
        .find(|port| given.insert(*port))
        .expect("a free port")
}

impl Installation {
    /// Runs work on an installation, and cleans up whether it succeeds or fails.
    pub fn with<T, F: Future<Output = T>>(setup: Setup, work: impl FnOnce(Self) -> F) -> T {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let installation = runtime.block_on(Self::start(setup));
        let schema = installation.schema.clone();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(work(installation))
        }));
        if let Some((url, name)) = schema {
            runtime
                .block_on(schema::remove(&url.into(), &name))
                .expect("the schema is dropped");
        }
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Starts an installation. Its schema stays in the database, unlike with [`Installation::with`].
    pub async fn start(setup: Setup) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let http = client(&ClientOptions::default()).expect("an HTTP client");
        let mut installation = Self {
            url: format!("http://127.0.0.1:{}", free_port()),
            simulator: format!("http://127.0.0.1:{}", free_port()),
            key: String::new(),
            prefix: "notifications".to_owned(),
            http,
            environment: Vec::new(),
            roles: BTreeMap::new(),
            ports: BTreeMap::new(),
            dir,
            schema: None,
            setup,
        };
        if let Some(services) = installation.setup.services.clone() {
            installation.start_distributed(services).await;
        } else {
            installation.set(&[("RETRY__TIERS", "1s,2s")]);
            installation.set_extra();
            installation.start_dev();
        }
        installation
    }

    fn set(&mut self, settings: &[(&str, &str)]) {
        let settings = settings.iter();
        self.environment
            .extend(settings.map(|(name, value)| (format!("CARILLON_{name}"), (*value).to_owned())));
    }

    /// Lets workers render in the templates role, if there is one.
    fn set_templates(&mut self) {
        if self.setup.roles.iter().any(|(name, _)| *name == "templates") {
            let url = format!("http://127.0.0.1:{}", self.port("templates"));
            self.set(&[
                ("TEMPLATES__URL", &url),
                (
                    "SECURITY__INTERNAL_TOKEN",
                    "between the roles of this installation",
                ),
            ]);
        }
    }

    fn set_extra(&mut self) {
        let extra = self.setup.settings.clone();
        for (name, value) in extra {
            let value = value
                .replace("{simulator}", &self.simulator)
                .replace("{gateway}", &self.url);
            self.set(&[(&name, &value)]);
        }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        carillon(&self.setup.binary, args, &self.environment)
    }

    /// Runs a command to its end and returns its output.
    fn output(&self, args: &[&str]) -> String {
        let output = self.command(args).output().expect("the binary runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "carillon {args:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The folder with logs, and with the data of the embedded mode.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps the folder when the installation is dropped.
    pub fn keep_dir(&mut self) {
        self.dir.disable_cleanup(true);
    }

    async fn start_distributed(&mut self, services: Services) {
        let url = services.database;
        let name = format!("app_{}", Uuid::now_v7().simple());
        let own = schema::create(&Secret::from(url.clone()), &name)
            .await
            .expect("a schema");
        self.schema = Some((url, name));
        self.prefix = format!("app-{}", Uuid::now_v7());
        let simulator_url = self.simulator.clone();
        let gateway_url = self.url.clone();
        let prefix = self.prefix.clone();
        let smtp = free_port().to_string();
        let public_url = self.url.clone();
        let account = service_account(&simulator_url);
        let simulator_data = self.dir.path().join("simulator");
        self.set(&[
            ("KAFKA__BROKERS", &services.brokers),
            ("KAFKA__SESSION_TIMEOUT", "6s"),
            ("DATABASE__URL", secrecy::ExposeSecret::expose_secret(&own)),
            ("DATABASE__MAX_CONNECTIONS", "4"),
            ("REDIS__URL", &services.redis),
            ("BUS__PREFIX", &prefix),
            ("BUS__TOPICS__PARTITIONS", "4"),
            ("BUS__TOPICS__SIDE_PARTITIONS", "1"),
            ("RETRY__TIERS", "1s,2s"),
            ("SECURITY__ADDRESS_KEY", "of this installation"),
            ("HTTP__PUBLIC_URL", &public_url),
            ("SIMULATOR__LISTEN", simulator_url.trim_start_matches("http://")),
            ("SIMULATOR__SMTP_LISTEN", &format!("127.0.0.1:{smtp}")),
            ("SIMULATOR__DATA_DIR", &simulator_data.to_string_lossy()),
            ("PROVIDERS__SMTP__KIND", "smtp"),
            ("PROVIDERS__SMTP__HOST", "127.0.0.1"),
            ("PROVIDERS__SMTP__PORT", &smtp),
            ("PROVIDERS__SMTP__TLS", "none"),
            ("PROVIDERS__SMTP__FROM", "Shop <shop@example.com>"),
            ("PROVIDERS__SMTP__REQUEST_TIMEOUT", "4s"),
            ("PROVIDERS__TWILIO__KIND", "twilio"),
            (
                "PROVIDERS__TWILIO__ACCOUNT_SID",
                "AC00000000000000000000000000000000",
            ),
            (
                "PROVIDERS__TWILIO__AUTH_TOKEN",
                "0123456789abcdef0123456789abcdef",
            ),
            ("PROVIDERS__TWILIO__FROM", "+15550001111"),
            ("PROVIDERS__TWILIO__BASE_URL", &simulator_url),
            ("PROVIDERS__TWILIO__REQUEST_TIMEOUT", "4s"),
            ("PROVIDERS__TWILIO__CALLBACK_URL", &gateway_url),
            ("PROVIDERS__FCM__KIND", "fcm"),
            ("PROVIDERS__FCM__SERVICE_ACCOUNT", &account),
            ("PROVIDERS__FCM__BASE_URL", &simulator_url),
            ("PROVIDERS__FCM__REQUEST_TIMEOUT", "4s"),
            ("PROVIDERS__WEBHOOKS__KIND", "webhook"),
            ("PROVIDERS__WEBHOOKS__ALLOW_HTTP", "true"),
            ("PROVIDERS__WEBHOOKS__ALLOWED_NETWORKS", "127.0.0.0/8"),
            ("PROVIDERS__WEBHOOKS__REQUEST_TIMEOUT", "4s"),
            ("WORKERS__LEASE", "6s"),
        ]);
        self.set_apns();
        self.set_templates();
        self.set_extra();
        self.output(&["topics", "create"]);
        let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
        self.output(&["catalog", "apply", shop]);
        let key: Value =
            serde_json::from_str(&self.output(&["keys", "create", "test", "--role", "admin", "--json"]))
                .expect("JSON");
        key["secret"]
            .as_str()
            .expect("a secret")
            .clone_into(&mut self.key);
        for (name, _) in self.setup.roles {
            self.start_role(name);
        }
        wait_for("the gateway", Duration::from_secs(30), || async {
            self.answers().await
        })
        .await;
        let user = json!({"email": "ada@example.com", "phone": "+15145550142", "locale": "fr-CA",
            "devices": [{"platform": "android", "token": "demo-android-token-ada"}]});
        self.put("/v1/users/u-42", &user).await;
    }

    /// The simulator's APNs, and an account there, with secrets as the compose files have them.
    fn set_apns(&mut self) {
        let apns = format!("127.0.0.1:{}", free_port());
        let secrets = self.dir.path().join("secrets");
        for audience in ["carillon", "providers", "receipts", "simulator", "postgres"] {
            std::fs::create_dir_all(secrets.join(audience)).expect("a folder");
        }
        self.output(&["secrets", &secrets.to_string_lossy()]);
        let secret = |name: &str| secrets.join(name).to_string_lossy().into_owned();
        self.set(&[
            ("SIMULATOR__APNS_LISTEN", &apns),
            (
                "SIMULATOR__APNS_CERTIFICATE_PEM_FILE",
                &secret("simulator/apns_certificate.pem"),
            ),
            (
                "SIMULATOR__APNS_CERTIFICATE_KEY_PEM_FILE",
                &secret("simulator/apns_certificate_key.pem"),
            ),
            (
                "SIMULATOR__APNS_PUBLIC_KEY_PEM_FILE",
                &secret("simulator/apns_public_key.pem"),
            ),
            ("PROVIDERS__APNS__KIND", "apns"),
            ("PROVIDERS__APNS__TEAM_ID", "SIMTEAM001"),
            ("PROVIDERS__APNS__KEY_ID", "SIMKEY0001"),
            ("PROVIDERS__APNS__KEY_PATH", &secret("providers/apns_key.p8")),
            ("PROVIDERS__APNS__TOPIC", "dev.carillon.shop"),
            ("PROVIDERS__APNS__BASE_URL", &format!("https://{apns}")),
            (
                "PROVIDERS__APNS__ROOT_CERTIFICATES_PATH",
                &secret("providers/apns_authority.pem"),
            ),
            ("PROVIDERS__APNS__REQUEST_TIMEOUT", "4s"),
        ]);
    }

    async fn answers(&self) -> bool {
        let healthy = async |url: String| {
            let answer = self.http.get(url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        let simulates = self.setup.roles.iter().any(|(name, _)| *name == "simulator");
        healthy(format!("{}/readyz", self.url)).await
            && (!simulates || healthy(format!("{}/healthz", self.simulator)).await)
    }

    /// Runs a command of the CLI against this installation and returns its output.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> String {
        let mut command = self.command(args);
        command
            .env("CARILLON_URL", &self.url)
            .env("CARILLON_API_KEY", &self.key);
        let output = command.output().expect("the binary runs");
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    /// The ends of the logs, for a failing assertion.
    #[must_use]
    pub fn logs(&self) -> String {
        let entries = std::fs::read_dir(self.dir.path()).expect("its folder");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        let tail = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(8).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            format!("{}:\n{}\n", path.display(), lines.join("\n"))
        };
        files.iter().map(tail).collect()
    }
}

/// A service account for the simulator, which does not check its signature.
fn service_account(simulator: &str) -> String {
    use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};

    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("a key");
    let account = json!({
        "project_id": "carillon-test",
        "client_email": "test@carillon-test.iam.gserviceaccount.com",
        "private_key": key.to_pkcs8_pem(LineEnding::LF).expect("PEM").to_string(),
        "token_uri": format!("{simulator}/token"),
    });
    account.to_string()
}
