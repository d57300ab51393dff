//! The log lines of a process.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use serde_json::Value;

/// `carillon tracker` on embedded stores in a folder, with a JSON log.
fn tracker(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carillon"));
    let database = format!("sqlite://{}", folder.join("store.db").display());
    command
        .current_dir(folder)
        .env_clear()
        .env("CARILLON_TELEMETRY__LOG_FORMAT", "json")
        .env("CARILLON_HTTP__LISTEN", "127.0.0.1:0")
        .env("CARILLON_DATABASE__URL", database)
        .env("CARILLON_BUS__PATH", folder.join("bus.db"))
        .env(
            "CARILLON_SECURITY__ADDRESS_KEY",
            "a key of the test that is long enough",
        )
        .arg("tracker")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// The lines of a log.
struct Log(BufReader<ChildStderr>);

impl Log {
    fn of(process: &mut Child) -> Self {
        Self(BufReader::new(process.stderr.take().unwrap()))
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(
            !line.contains('\u{1b}'),
            "no colours where no terminal is: {line:?}"
        );
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")))
    }

    /// The next line with this message.
    fn until(&mut self, message: &str) -> Value {
        loop {
            let line = self
                .line()
                .unwrap_or_else(|| panic!("{message}: the log has ended"));
            if line["fields"]["message"] == message {
                return line;
            }
        }
    }
}

#[test]
fn a_role_logs_its_start_in_one_line_and_the_reason_of_its_end_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = tracker(folder.path()).spawn().unwrap();
    let mut log = Log::of(&mut process);
    let start = log.until("a role starts");
    let field = |name: &str| start["fields"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(field("role"), "tracker");
    assert_eq!(field("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (field("bus"), field("database")),
        ("embedded".to_owned(), "sqlite".to_owned())
    );
    assert!(field("listen").starts_with("127.0.0.1:"), "{start}");
    assert_eq!(
        (field("group"), field("topics")),
        ("notifications.tracker".to_owned(), "notifications".to_owned())
    );
    let told = Command::new("kill")
        .args(["-TERM", &process.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    let end = log.until("every role has ended");
    assert_eq!(end["fields"]["cause"], "SIGTERM");
    while log.line().is_some() {}
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_role_that_does_not_start_says_why_in_the_configured_format() {
    let folder = tempfile::tempdir().unwrap();
    // A setting that cannot be parsed, and one that cannot be used.
    for (name, value, says) in [
        ("CARILLON_HTTP__LISTEN", "nowhere", "http.listen"),
        ("CARILLON_DATABASE__URL", "mysql://x", "database.url"),
    ] {
        let mut process = tracker(folder.path()).env(name, value).spawn().unwrap();
        let mut log = Log::of(&mut process);
        let mut last = Value::Null;
        while let Some(line) = log.line() {
            last = line;
        }
        assert_eq!(last["level"], "ERROR", "{last}");
        let error = last["fields"]["error"].as_str().unwrap_or_default();
        assert!(error.contains(says), "{last}");
        assert!(!process.wait().unwrap().success());
    }
}
