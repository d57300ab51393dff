//! A whole Carillon of a test's own.

use std::{collections::BTreeMap, future::Future, net::TcpListener, path::PathBuf, time::Duration};

use carillon_runtime::http::{ClientOptions, client};
use carillon_store::schema;
use carillon_testkit::{kafka_brokers, postgres_url, redis_url, wait_for};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::{Role, carillon, output};

/// Whether the real services are there, all three.
pub(crate) fn is_distributed() -> bool {
    kafka_brokers().is_some() && postgres_url().is_some() && redis_url().is_some()
}

pub(crate) struct Installation {
    pub(crate) url: String,
    pub(crate) simulator: String,
    pub(crate) key: String,
    pub(crate) prefix: String,
    http: reqwest::Client,
    environment: Vec<(String, String)>,
    roles: BTreeMap<&'static str, Role>,
    dir: tempfile::TempDir,
    schema: Option<(String, String)>,
}

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The roles of the distributed mode, two routers and two e-mail workers among them.
const ROLES: [(&str, &[&str]); 9] = [
    ("simulator", &["simulator"]),
    ("gateway", &["gateway"]),
    ("router-1", &["router"]),
    ("router-2", &["router"]),
    ("email-1", &["worker", "--channel", "email"]),
    ("email-2", &["worker", "--channel", "email"]),
    ("sms", &["worker", "--channel", "sms"]),
    ("push", &["worker", "--channel", "push"]),
    ("tracker", &["tracker"]),
];

impl Installation {
    /// Runs a test on an installation, and takes it away whatever becomes of it.
    pub(crate) fn with<F: Future<Output = ()>>(test: impl FnOnce(Self) -> F) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let installation = runtime.block_on(Self::start());
        let schema = installation.schema.clone();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(test(installation));
        }));
        if let Some((url, name)) = schema {
            runtime.block_on(schema::remove(&url.into(), &name)).unwrap();
        }
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    }

    async fn start() -> Self {
        if is_distributed() {
            Self::distributed().await
        } else {
            Self::embedded()
        }
    }

    fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let environment = vec![("CARILLON_RETRY__TIERS".to_owned(), "1s,2s".to_owned())];
        let mut installation = Self {
            url: format!("http://127.0.0.1:{}", free_port()),
            simulator: format!("http://127.0.0.1:{}", free_port()),
            key: String::new(),
            prefix: "notifications".to_owned(),
            http: client(&ClientOptions::default()).unwrap(),
            environment,
            roles: BTreeMap::new(),
            dir,
            schema: None,
        };
        installation.start_dev();
        installation
    }

    fn start_dev(&mut self) {
        let data = self.dir.path().join("data");
        let (listen, simulator) = (
            self.url.trim_start_matches("http://"),
            self.simulator.trim_start_matches("http://"),
        );
        let args = [
            "dev",
            "--json",
            "--data-dir",
            data.to_str().unwrap(),
            "--listen",
            listen,
            "--simulator-listen",
            simulator,
        ];
        let (role, ready) = Role::dev(&args, &self.environment, &self.dir.path().join("dev.log"));
        assert_eq!(ready["url"], self.url);
        ready["api_key"].as_str().unwrap().clone_into(&mut self.key);
        self.roles.insert("dev", role);
    }

    async fn distributed() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = postgres_url().unwrap();
        let name = format!("app_{}", Uuid::now_v7().simple());
        let own = schema::create(&url.clone().into(), &name).await.unwrap();
        let prefix = format!("app-{}", Uuid::now_v7());
        let (gateway, simulator, smtp) = (free_port(), free_port(), free_port());
        let simulator_url = format!("http://127.0.0.1:{simulator}");
        let account = service_account(&simulator_url);
        let set = |name: &str, value: &str| (format!("CARILLON_{name}"), value.to_owned());
        let environment = vec![
            set("KAFKA__BROKERS", &kafka_brokers().unwrap()),
            set("KAFKA__SESSION_TIMEOUT", "6s"),
            set("DATABASE__URL", secrecy::ExposeSecret::expose_secret(&own)),
            set("DATABASE__MAX_CONNECTIONS", "4"),
            set("REDIS__URL", &redis_url().unwrap()),
            set("BUS__PREFIX", &prefix),
            set("BUS__TOPICS__PARTITIONS", "4"),
            set("BUS__TOPICS__SIDE_PARTITIONS", "1"),
            set("RETRY__TIERS", "1s,2s"),
            set("SECURITY__ADDRESS_KEY", "of this test"),
            set("SIMULATOR__LISTEN", &format!("127.0.0.1:{simulator}")),
            set("SIMULATOR__SMTP_LISTEN", &format!("127.0.0.1:{smtp}")),
            set(
                "SIMULATOR__DATA_DIR",
                dir.path().join("simulator").to_str().unwrap(),
            ),
            set("PROVIDERS__SMTP__HOST", "127.0.0.1"),
            set("PROVIDERS__SMTP__PORT", &smtp.to_string()),
            set("PROVIDERS__SMTP__TLS", "none"),
            set("PROVIDERS__SMTP__FROM", "Shop <shop@example.com>"),
            set("PROVIDERS__SMTP__REQUEST_TIMEOUT", "4s"),
            set(
                "PROVIDERS__TWILIO__ACCOUNT_SID",
                "ACsimulator0000000000000000000000",
            ),
            set("PROVIDERS__TWILIO__AUTH_TOKEN", "simulator-auth-token"),
            set("PROVIDERS__TWILIO__FROM", "+15550001111"),
            set("PROVIDERS__TWILIO__BASE_URL", &simulator_url),
            set("PROVIDERS__TWILIO__REQUEST_TIMEOUT", "4s"),
            set("PROVIDERS__TWILIO__CALLBACK_URL", "http://127.0.0.1:1"),
            set("PROVIDERS__FCM__SERVICE_ACCOUNT", &account),
            set("PROVIDERS__FCM__BASE_URL", &simulator_url),
            set("PROVIDERS__FCM__REQUEST_TIMEOUT", "4s"),
            set("WORKERS__LEASE", "6s"),
        ];
        output(&["topics", "create"], &environment);
        let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
        output(&["catalog", "apply", shop], &environment);
        let key: Value = serde_json::from_str(&output(
            &["keys", "create", "test", "--role", "admin", "--json"],
            &environment,
        ))
        .unwrap();
        let mut installation = Self {
            url: format!("http://127.0.0.1:{gateway}"),
            simulator: simulator_url,
            key: key["secret"].as_str().unwrap().to_owned(),
            prefix,
            http: client(&ClientOptions::default()).unwrap(),
            environment,
            roles: BTreeMap::new(),
            dir,
            schema: Some((url, name)),
        };
        for (name, _) in ROLES {
            installation.start_role(name);
        }
        wait_for("the gateway", Duration::from_secs(30), || async {
            installation.answers().await
        })
        .await;
        let user = json!({"email": "ada@example.com", "phone": "+15145550142", "locale": "fr-CA",
            "devices": [{"platform": "android", "token": "demo-android-token-ada"}]});
        installation.put("/v1/users/u-42", &user).await;
        installation
    }

    async fn answers(&self) -> bool {
        let simulator = self.http.get(format!("{}/healthz", self.simulator)).send().await;
        let gateway = self.http.get(format!("{}/readyz", self.url)).send().await;
        [simulator, gateway]
            .into_iter()
            .all(|answer| answer.is_ok_and(|answer| answer.status().is_success()))
    }

    /// Starts a role of the distributed mode (again).
    pub(crate) fn start_role(&mut self, name: &'static str) {
        let (_, args) = ROLES.iter().find(|(role, _)| *role == name).unwrap();
        let port = if name == "gateway" {
            self.url.rsplit(':').next().unwrap().parse().unwrap()
        } else {
            free_port()
        };
        let listen = format!("http.listen=127.0.0.1:{port}");
        let mut all = vec!["--set", listen.as_str()];
        all.extend(*args);
        let log = self.dir.path().join(format!("{name}.log"));
        self.roles
            .insert(name, Role::start(&all, &self.environment, &log));
    }

    /// `kill -9` of a role.
    pub(crate) fn kill(&mut self, name: &'static str) {
        self.roles.remove(name).unwrap().kill();
    }

    /// `kill -9` of what accepts and delivers, and its restart.
    pub(crate) fn kill_and_restart(&mut self) {
        if is_distributed() {
            for name in ["gateway", "router-1", "email-1", "tracker"] {
                self.kill(name);
                self.start_role(name);
            }
        } else {
            self.kill("dev");
            self.start_dev();
        }
    }

    /// Runs a command of the CLI against this installation.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let mut environment = self.environment.clone();
        environment.push(("CARILLON_URL".to_owned(), self.url.clone()));
        environment.push(("CARILLON_API_KEY".to_owned(), self.key.clone()));
        let output = carillon(args, &environment).output().unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    /// The logs, for a failing assertion.
    pub(crate) fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        let tail = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(8).collect();
            format!(
                "{}:\n{}\n",
                path.display(),
                lines.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        };
        files.iter().map(tail).collect()
    }

    pub(crate) async fn post(&self, event: &Value) -> (u16, Value) {
        let request = self
            .http
            .post(format!("{}/v1/events", self.url))
            .bearer_auth(&self.key)
            .json(event);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Posts until it is accepted, as a client with retries does.
    pub(crate) async fn post_until_accepted(&self, event: &Value) {
        wait_for("an accepted post", Duration::from_secs(40), || async {
            let request = self
                .http
                .post(format!("{}/v1/events", self.url))
                .bearer_auth(&self.key)
                .json(event);
            request
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> u16 {
        let request = self
            .http
            .put(format!("{}{path}", self.url))
            .bearer_auth(&self.key)
            .json(body);
        request.send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self
            .http
            .get(format!("{}{path}", self.url))
            .bearer_auth(&self.key);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// What the simulator received.
    pub(crate) async fn messages(&self, query: &str) -> Vec<Value> {
        let url = format!("{}/v1/messages?limit=500&{query}", self.simulator);
        let list: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        list["items"].as_array().unwrap().clone()
    }

    pub(crate) async fn simulator_get(&self, path: &str) -> Value {
        self.http
            .get(format!("{}{path}", self.simulator))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    pub(crate) async fn faults(&self, faults: &Value) {
        let answer = self
            .http
            .put(format!("{}/v1/faults", self.simulator))
            .json(faults)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Waits until everything has ended and the books balance.
    pub(crate) async fn settle(&self, acknowledged: u64) {
        let mut last = Value::Null;
        let settled = tokio::time::timeout(Duration::from_secs(90), async {
            loop {
                last = self.get("/v1/stats").await;
                let zero = |key: &str| last[key] == 0;
                if last["acknowledged"].as_u64() >= Some(acknowledged)
                    && zero("pending")
                    && zero("waiting")
                    && zero("events_difference")
                    && zero("deliveries_difference")
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(settled.await.is_ok(), "not settled: {last}\n{}", self.logs());
    }
}

/// A service account for the simulator, which does not check its signature.
fn service_account(simulator: &str) -> String {
    use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};

    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let account = json!({
        "project_id": "carillon-test",
        "client_email": "test@carillon-test.iam.gserviceaccount.com",
        "private_key": key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string(),
        "token_uri": format!("{simulator}/token"),
    });
    account.to_string()
}
