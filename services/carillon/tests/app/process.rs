//! One `carillon` process.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A running role. Dropping it kills it.
pub(crate) struct Role {
    child: Child,
}

/// A command of the binary under test, without the environment's own Carillon settings.
pub(crate) fn carillon(args: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carillon"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARILLON_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn output(args: &[&str], environment: &[(String, String)]) -> String {
    let output = carillon(args, environment).output().expect("the binary runs");
    assert!(
        output.status.success(),
        "carillon {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

impl Role {
    /// Starts a role; its log goes to a file of the folder.
    pub(crate) fn start(args: &[&str], environment: &[(String, String)], log: &Path) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file");
        let child = carillon(args, environment)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        Self { child }
    }

    /// Starts `carillon dev --json` and reads the line that it prints when it is ready.
    pub(crate) fn dev(
        args: &[&str],
        environment: &[(String, String)],
        log: &Path,
    ) -> (Self, serde_json::Value) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file");
        let mut child = carillon(args, environment)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("a line");
        (
            Self { child },
            serde_json::from_str(&line).expect("the line that says it is ready"),
        )
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the process is there");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
