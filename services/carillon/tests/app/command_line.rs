//! Command lines and their output.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// `carillon` in a folder, without environment variables.
pub(crate) fn carillon(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carillon"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn run(folder: &Path, args: &[&str]) -> Output {
    carillon(folder).args(args).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A `carillon dev` in a folder. It ends when this is dropped.
pub(crate) struct Dev {
    pub(crate) process: Child,
    pub(crate) ready: Value,
}

impl Dev {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut process = carillon(folder)
            .args([
                "dev",
                "--json",
                "--listen",
                "localhost:0",
                "--simulator-listen",
                "[::1]:0",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            process,
            ready: serde_json::from_str(&line).unwrap(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.ready["url"]
            .as_str()
            .unwrap()
            .strip_prefix("http://")
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A foreign server, which answers each request with the same document and records the requests.
struct Stranger {
    url: String,
    heard: Arc<Mutex<String>>,
}

impl Stranger {
    fn at(address: SocketAddr, status: u16, answer: &Value) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let heard = Arc::new(Mutex::new(String::new()));
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answer, said) = (answer.to_string(), Arc::clone(&heard));
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut request = vec![0; 65_536];
                let length = stream.read(&mut request).unwrap_or(0);
                said.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&request[..length]));
                let start = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    answer.len()
                );
                let _ = stream.write_all(format!("{start}{answer}").as_bytes());
            }
        });
        Self { url, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

pub(crate) const ANYWHERE: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0));

#[test]
fn the_key_of_a_data_folder_is_sent_only_to_that_folders_own_carillon() {
    let folder = tempfile::tempdir().unwrap();
    let list = ["deliveries", "list"];
    let said = stderr(&run(folder.path(), &list));
    assert!(
        said.contains("--key") && said.contains("CARILLON_API_KEY"),
        "{said}"
    );

    let stranger = Stranger::at(ANYWHERE, 200, &json!({"items": []}));
    let dev = Dev::start(folder.path());
    let address = dev.address();
    assert!(address.ip().is_loopback());
    assert!(stdout(&run(folder.path(), &list)).contains("created_at"));
    let by_name = format!("http://localhost:{}", address.port());
    for url in [&by_name, &format!("http://{address}/")] {
        stdout(&run(folder.path(), &["deliveries", "list", "--url", url]));
    }
    for url in [
        stranger.url.as_str(),
        &format!("https://{address}"),
        &format!("http://{address}@{}", stranger.url.trim_start_matches("http://")),
        &format!("http://127.0.0.1.example:{}", address.port()),
    ] {
        let said = stderr(&run(folder.path(), &["deliveries", "list", "--url", url]));
        assert!(
            said.contains("--key") && said.contains("is sent nowhere else"),
            "{url}: {said}"
        );
    }
    assert_eq!(stranger.heard(), "");
    stdout(&run(
        folder.path(),
        &["deliveries", "list", "--url", &stranger.url, "--key", "given"],
    ));
    assert!(stranger.heard().contains("Bearer given"));

    // A foreign server binds the port after the folder's carillon has ended.
    drop(dev);
    let successor = Stranger::at(address, 200, &json!({"items": []}));
    for args in [&list[..], &["deliveries", "list", "--url", &by_name]] {
        let said = stderr(&run(folder.path(), args));
        assert!(said.contains("no carillon dev runs in carillon-data"), "{said}");
    }
    assert_eq!(successor.heard(), "");
}

#[test]
fn text_from_a_server_cannot_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let nasty = "a\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}b\u{2066}\r\nforged row\u{7f}";
    let event = json!({
        "type": nasty, "event_id": nasty, "source": nasty, "status": nasty, "id": nasty, "channel": nasty,
        "decisions": [{"recipient": nasty, "sentence": nasty}], "deliveries": [{"id": nasty}],
        "items": [{"id": nasty, "type": nasty, "reason": nasty}], "timeline": [{"detail": nasty}], "content": {nasty: nasty},
    });
    let problem = json!({
        "title": nasty, "detail": nasty, "errors": [{"pointer": nasty, "message": nasty}],
        "items": [{"index": nasty, "problem": {"title": nasty, "detail": nasty}}],
    });
    let commands: [&[&str]; 9] = [
        &["events", "get", "x"],
        &["decisions"],
        &["deliveries", "list"],
        &["deliveries", "get", "x"],
        &["dlq", "list"],
        &["dlq", "get", "x"],
        &["dlq", "show", "x"],
        &["send", "--type", "T"],
        &["simulate", "--type", "T", "--messages"],
    ];
    for (status, answer) in [(200, &event), (422, &problem)] {
        let stranger = Stranger::at(ANYWHERE, status, answer);
        for command in commands {
            for json in [false, true] {
                let mut asked = carillon(folder.path());
                asked.args(command).args(["--url", &stranger.url, "--key", "k"]);
                if json {
                    asked.arg("--json");
                }
                let output = asked.output().unwrap();
                let shown = String::from_utf8([output.stdout.clone(), output.stderr].concat()).unwrap();
                let steers = |c: char| c != '\n' && carillon_domain::visible::is_steering(c);
                assert!(
                    !shown.contains(steers) && !shown.contains("\nforged"),
                    "{command:?}: {shown:?}"
                );
                if json && status == 200 {
                    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
                    assert_eq!(&read, answer, "{command:?}");
                }
            }
        }
    }
}

#[test]
fn a_taken_port_names_the_option_that_chooses_another() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(ANYWHERE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = stderr(&run(
        folder.path(),
        &["dev", "--listen", &address, "--simulator-listen", "127.0.0.1:0"],
    ));
    assert!(
        said.contains(&address) && said.contains("choose another address with --listen"),
        "{said}"
    );
    let said = stderr(&run(
        folder.path(),
        &["dev", "--listen", "127.0.0.1:0", "--simulator-listen", &address],
    ));
    assert!(
        said.contains(&address) && said.contains("with --simulator-listen"),
        "{said}"
    );
    let listen = format!("http.listen={address}");
    let said = stderr(&run(folder.path(), &["gateway", "--set", &listen]));
    assert!(said.contains("choose another address with http.listen"), "{said}");
}

#[test]
fn config_check_says_valid_and_prints_a_configuration_that_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let printed = stdout(&run(folder.path(), &["config", "check"]));
    assert!(printed.starts_with("# The configuration is valid."), "{printed}");
    assert!(
        printed.contains("history_retention = \"90d\"") && printed.contains("grace = \"20s\""),
        "{printed}"
    );
    std::fs::write(folder.path().join("carillon.toml"), &printed).unwrap();
    assert_eq!(stdout(&run(folder.path(), &["config", "check"])), printed);
    let set = [
        "config",
        "check",
        "--set",
        "http.listen=localhost:9",
        "--set",
        "shutdown.grace=1h 30m",
    ];
    let printed = stdout(&run(folder.path(), &set));
    assert!(
        printed.contains("listen = \"127.0.0.1:9\"") && printed.contains("grace = \"90m\""),
        "{printed}"
    );
}

#[test]
fn an_unknown_setting_is_named_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let meant = "there is no such setting; did you mean http.listen?";
    let said = stderr(&run(
        folder.path(),
        &["config", "check", "--set", "http.listn=localhost:1"],
    ));
    assert_eq!(
        said,
        format!("carillon: the configuration is invalid: --set http.listn: {meant}\n")
    );
    let mut asked = carillon(folder.path());
    asked
        .args(["config", "check"])
        .env("CARILLON_HTTP__LISTN", "localhost:1");
    let said = stderr(&asked.output().unwrap());
    assert_eq!(
        said,
        format!("carillon: the configuration is invalid: CARILLON_HTTP__LISTN: http.listn: {meant}\n")
    );
    std::fs::write(
        folder.path().join("carillon.toml"),
        "[http]\nlistn = \"localhost:1\"\n",
    )
    .unwrap();
    let said = stderr(&run(folder.path(), &["config", "check"]));
    assert!(
        said.contains("carillon.toml: http.listn: ") && said.contains(meant),
        "{said}"
    );
}

#[test]
fn completions_are_printed_for_each_shell_and_nothing_colours_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&run(folder.path(), &["completions", shell]));
        assert!(
            script.contains("deliveries") && script.contains("simulator-listen"),
            "{shell}"
        );
    }
    for args in [&["--help"][..], &["dev", "--help"], &["doctor"]] {
        let output = run(folder.path(), args);
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            !shown.is_empty() && !shown.contains('\u{1b}'),
            "{args:?}: {shown:?}"
        );
    }
}

#[test]
fn a_standard_output_that_its_reader_has_closed_ends_a_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("data");
    let store = store.to_str().unwrap();
    for args in [
        &["completions", "bash"][..],
        &["config", "check"],
        &[
            "keys",
            "create",
            "a",
            "--role",
            "viewer",
            "--json",
            "--data-dir",
            store,
        ],
        &["keys", "list", "--data-dir", store],
        &["doctor", "--json"],
        &["--help"],
    ] {
        let open = run(folder.path(), args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = carillon(folder.path())
            .args(args)
            .stdout(writer)
            .output()
            .unwrap();
        let said = String::from_utf8(closed.stderr).unwrap();
        assert!(
            !said.contains("panicked") && !said.contains("pipe"),
            "{args:?}: {said}"
        );
        assert_eq!(closed.status.code(), open.status.code(), "{args:?}: {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_standard_output_on_a_full_disk_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = carillon(folder.path())
        .args(["completions", "bash"])
        .stdout(full)
        .output()
        .unwrap();
    assert!(
        stderr(&ended).contains("carillon: standard output takes no text: "),
        "{ended:?}"
    );
}

#[test]
fn the_error_of_a_missing_object_does_not_repeat_the_problems_title() {
    let folder = tempfile::tempdir().unwrap();
    let detail = "there is no such delivery";
    let problem = json!({"title": "It was not found", "status": 404, "detail": detail});
    let stranger = Stranger::at(ANYWHERE, 404, &problem);
    let args = ["deliveries", "get", "x", "--url", &stranger.url, "--key", "k"];
    assert_eq!(
        stderr(&run(folder.path(), &args)),
        format!("carillon: {detail}\n")
    );
}
