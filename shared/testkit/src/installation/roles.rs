//! The processes of an installation: starting them, killing them, and their addresses.

use std::path::PathBuf;

use serde_json::Value;

use super::{Installation, free_port, process::Role};

impl Installation {
    /// Starts the embedded mode and waits until it is ready.
    pub(super) fn start_dev(&mut self) {
        let (role, ready) = Role::dev(self.dev_command(), &self.log("dev"));
        assert_eq!(ready["url"], self.url);
        ready["api_key"]
            .as_str()
            .expect("a key")
            .clone_into(&mut self.key);
        self.roles.insert("dev", role);
    }

    fn dev_command(&self) -> std::process::Command {
        let data = self.dir.path().join("data");
        let mut command = self.command(&[
            "dev",
            "--json",
            "--data-dir",
            &data.to_string_lossy(),
            "--listen",
            self.url.trim_start_matches("http://"),
            "--simulator-listen",
            self.simulator.trim_start_matches("http://"),
        ]);
        command.args(self.setup.dev_args);
        command
    }

    /// Ends `carillon dev` and starts it with other arguments.
    pub fn restart_dev_with(&mut self, args: &'static [&'static str]) {
        self.kill("dev");
        self.setup.dev_args = args;
        self.start_dev();
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.log"))
    }

    /// Creates another tenant with the sample shop; returns its admin's API key.
    #[must_use]
    pub fn another_tenant(&self, tenant: &str) -> String {
        let store = self.dir.path().join("data/store.db");
        let run = |args: &[&str]| {
            let mut command = self.command(args);
            if self.setup.services.is_none() {
                command.env("CARILLON_DATABASE__URL", format!("sqlite://{}", store.display()));
            }
            let output = command.output().expect("the binary runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "carillon {args:?}: {errors}");
            output.stdout
        };
        let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
        run(&["catalog", "apply", shop, "--tenant", tenant]);
        let made = run(&[
            "keys", "create", "test", "--role", "admin", "--tenant", tenant, "--json",
        ]);
        let key: Value = serde_json::from_slice(&made).expect("JSON");
        key["secret"].as_str().expect("a secret").to_owned()
    }

    /// The port of a role. (The embedded mode and the gateway listen at [`Installation::url`].)
    pub fn port(&mut self, name: &'static str) -> u16 {
        let own = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        let chosen = match (name, own) {
            ("gateway" | "dev", Some(port)) => port,
            _ => free_port(),
        };
        *self.ports.entry(name).or_insert(chosen)
    }

    /// Starts a role (`dev` in the embedded mode), or starts it again, without waiting until it is ready.
    pub fn start_role(&mut self, name: &'static str) {
        let command = if name == "dev" {
            self.dev_command()
        } else {
            let role = self.setup.roles.iter().find(|(role, _)| *role == name);
            let (_, args) = role.expect("a role of this installation");
            let listen = format!("http.listen=127.0.0.1:{}", self.port(name));
            let mut all = vec!["--set", listen.as_str()];
            all.extend(*args);
            self.command(&all)
        };
        let role = Role::start(command, &self.log(name));
        self.roles.insert(name, role);
    }

    /// Kills a role by SIGKILL.
    pub fn kill(&mut self, name: &'static str) {
        self.roles.remove(name).expect("a running role").kill();
    }

    /// Kills the processes that accept and deliver events by SIGKILL, and starts them again.
    pub fn kill_and_restart(&mut self) {
        if self.setup.services.is_some() {
            for name in ["gateway", "router-1", "email-1", "tracker"] {
                self.kill(name);
                self.start_role(name);
            }
        } else {
            self.kill("dev");
            self.start_dev();
        }
    }

    /// The running processes by role.
    pub fn roles(&mut self) -> impl Iterator<Item = (&'static str, &mut Role)> {
        self.roles.iter_mut().map(|(name, role)| (*name, role))
    }

    /// The URL of a role's readiness.
    pub fn ready_url(&mut self, name: &'static str) -> String {
        match name {
            "simulator" => format!("{}/readyz", self.simulator),
            _ => format!("http://127.0.0.1:{}/readyz", self.port(name)),
        }
    }
}
