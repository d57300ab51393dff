//! One `carillon` process.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A running role. Dropping it kills it.
#[derive(Debug)]
pub struct Role {
    child: Child,
}

/// A command of a binary, without the environment's own Carillon settings.
pub(super) fn carillon(binary: &Path, args: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARILLON_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null());
    command
}

fn log_file(path: &Path) -> std::fs::File {
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("a log file")
}

impl Role {
    /// Starts a role; its log goes to a file.
    pub(super) fn start(mut command: Command, log: &Path) -> Self {
        let child = command
            .stdout(Stdio::null())
            .stderr(log_file(log))
            .spawn()
            .expect("the binary runs");
        Self { child }
    }

    /// Starts `carillon dev --json` and reads the line that it prints when it is ready.
    pub(super) fn dev(mut command: Command, log: &Path) -> (Self, Value) {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log_file(log))
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("a line");
        let ready = serde_json::from_str(&line);
        (
            Self { child },
            ready.unwrap_or_else(|error| panic!("{error}: it printed {line:?}; see {}", log.display())),
        )
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends SIGSTOP: the process stops and keeps its connections, locks and memory.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT: the process continues, and cannot tell how long it was stopped.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGINT, which asks the process to end.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Kills the process by SIGKILL.
    pub fn kill(&mut self) {
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
