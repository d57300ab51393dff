//! The errors of the command line: plain sentences, which cannot steer a terminal, and nothing half-made behind them.

use std::{fs, net::TcpListener};

use crate::command_line::{ANYWHERE, Dev, run, stderr};

/// The number of times that a text contains a phrase.
fn count(said: &str, phrase: &str) -> usize {
    said.matches(phrase).count()
}

/// Phrases of libraries and of the operating system.
const FOREIGN: [&str; 9] = [
    "os error",
    "invalid digit",
    "stream did not",
    "communicating with",
    "returned from database",
    "(code: ",
    "error parsing",
    "failed to parse",
    "TOML parse error",
];

#[test]
fn no_error_has_numbers_of_the_operating_system_or_phrases_of_libraries() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    fs::create_dir(folder.join("folder")).unwrap();
    fs::write(folder.join("bytes"), b"\xff\xfe").unwrap();
    fs::write(folder.join("half.toml"), "[http]\na = [").unwrap();
    let free = TcpListener::bind(ANYWHERE).unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let of_database = |url: &str| format!("database.url={url}");
    for (args, says) in [
        (
            vec!["--config", "folder", "config", "check"],
            "carillon: folder: it is a folder, and a file is expected\n".to_owned(),
        ),
        (
            vec!["--config", "bytes", "config", "check"],
            "carillon: bytes: it is not a text in UTF-8\n".to_owned(),
        ),
        (
            vec!["--config", "half.toml", "config", "check"],
            "carillon: half.toml, line 2, column ".to_owned(),
        ),
        (
            vec!["--set", "providers.relay.kind=smtp", "--set", "providers.relay.port=99999", "config", "check"],
            "expected a whole number from 1 to 65535, not".to_owned(),
        ),
        (
            vec!["--set", "bus.topics.partitions=-1", "config", "check"],
            "expected a whole number from 1 to 10000, not \"-1\"\n".to_owned(),
        ),
        (
            vec!["catalog", "apply", "none"],
            "carillon: none/catalog.yaml: there is no such file or folder\n".to_owned(),
        ),
        (
            vec!["send", "--file", "none"],
            "carillon: none: there is no such file or folder\n".to_owned(),
        ),
        (
            vec!["send", "--file", "bytes", "--key", "k"],
            "carillon: bytes: it is not a text in UTF-8\n".to_owned(),
        ),
        (
            vec!["deliveries", "list", "--key", "k", "--url", &url],
            format!("carillon: {url} does not answer: it refuses the connection\n"),
        ),
        (
            vec!["deliveries", "list", "--key", "k", "--limit", "0"],
            "'0' for '--limit <LIMIT>': expected a whole number from 1 to 500\n".to_owned(),
        ),
        (
            vec!["deliveries", "list", "--key", "k", "--limit", "x"],
            "'x' for '--limit <LIMIT>': expected a whole number from 1 to 500\n".to_owned(),
        ),
        (
            vec!["dev", "--data-dir", "/proc/none"],
            "carillon: /proc/none: the folder cannot be created: ".to_owned(),
        ),
        (
            vec![
                "--set",
                &of_database("sqlite:///proc/none/store.db"),
                "keys",
                "list",
            ],
            "carillon: database.url: the database does not answer: there is no such file or folder\n"
                .to_owned(),
        ),
        (
            vec!["--set", "bus.path=/proc/none/bus.db", "topics", "create"],
            "bus.path: the embedded log /proc/none/bus.db cannot be opened: there is no such file or folder\n".to_owned(),
        ),
        (
            vec!["deliveries", "list", "--key", "a\nb"],
            "carillon: --key or CARILLON_API_KEY: expected a key, which has no spaces".to_owned(),
        ),
        (
            vec!["--set", "telemetry.trace_ratio=2", "config", "check"],
            "telemetry.trace_ratio: expected a number from 0 to 1, not 2\n".to_owned(),
        ),
        (
            vec!["--set", "telemetry.log=a=b=c", "gateway"],
            "carillon: the configuration is invalid: --set telemetry.log: expected directives such as info,carillon_bus=debug, not \"a=b=c\"\n".to_owned(),
        ),
        (
            vec!["--set", &of_database("sqlite://folder"), "keys", "list"],
            "carillon: database.url: the database cannot read or write its disk: unable to open database file\n".to_owned(),
        ),
    ] {
        let said = stderr(&run(folder, &args));
        assert!(said.contains(&says), "{args:?}: {said}");
        for phrase in FOREIGN {
            assert!(!said.contains(phrase), "{args:?}: {said}");
        }
    }
}

#[test]
fn a_command_without_data_folder_and_configuration_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
    for args in [
        &["setup", shop][..],
        &["topics", "create"],
        &["keys", "list"],
        &["books", "show"],
        &["catalog", "apply", shop],
        &["read-model", "rebuild"],
    ] {
        let said = stderr(&run(folder.path(), args));
        assert_eq!(
            said,
            "carillon: there is no data folder carillon-data here, and the configuration names no stores: start `carillon dev` \
             first, name its folder with --data-dir, or set database.url and kafka.brokers (CARILLON_DATABASE__URL, \
             CARILLON_KAFKA__BROKERS)\n",
            "{args:?}"
        );
    }
    let doctor = run(folder.path(), &["doctor", "--set", "http.listen=127.0.0.1:1"]);
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(!doctor.status.success() && !said.contains(".lock"), "{said}");
    assert_eq!(
        count(&said, "there is no data folder carillon-data here"),
        1,
        "{said}"
    );
    let process = said
        .lines()
        .find(|line| line.contains("running process"))
        .unwrap();
    assert!(
        process.contains('–')
            && !process.contains(" ok ")
            && process.contains("no process answers at http://127.0.0.1:1"),
        "{process}"
    );
    assert!(
        fs::read_dir(folder.path()).unwrap().next().is_none(),
        "nothing is made"
    );
}

#[test]
fn a_folder_of_users_that_is_not_there_is_named_before_the_database_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("database.url=sqlite://{}/store.db", folder.path().display());
    for (source, why) in [
        ("nofolder", "there is no such file or folder"),
        ("file", "a part of the path is a file, and a folder is expected"),
    ] {
        fs::write(folder.path().join("file"), "").unwrap();
        let said = stderr(&run(
            folder.path(),
            &["users", "import", source, "--set", &database],
        ));
        assert_eq!(said, format!("carillon: {source}: {why}\n"));
        assert!(!folder.path().join("store.db").exists());
    }
}

#[test]
fn an_invalid_tenant_name_is_refused_with_the_permitted_characters() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["keys", "create", "me"][..],
        &["keys", "list"],
        &["keys", "revoke", "x"],
        &["catalog", "apply", "."],
        &["users", "import", "."],
    ] {
        for tenant in ["a|b", "", "a\u{1b}[31mb", &"t".repeat(129)] {
            let said = stderr(&run(folder.path(), &[command, &["--tenant", tenant]].concat()));
            let expected =
                "expected a tenant's name of 1 to 128 bytes without control characters and without '|'";
            assert_eq!(count(&said, expected), 1, "{said}");
            assert_eq!(
                count(&said, "a|b"),
                usize::from(tenant == "a|b"),
                "the value once: {said}"
            );
            assert!(!said.contains('\u{1b}'), "{said:?}");
        }
    }
}

#[test]
fn a_command_line_with_escape_codes_is_refused_without_them() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["deliveries", "list", "--url", "\u{1b}[2Jx"][..],
        &["\u{1b}]0;title\u{7}"],
        &["--set", "\u{9b}31m", "config", "check"],
        &["send", "--file", "\u{1b}[2J"],
        &["--config", "\u{1b}[2J.toml", "config", "check"],
    ] {
        let said = stderr(&run(folder.path(), args));
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!said.contains(steers), "{args:?}: {said:?}");
    }
}

#[test]
fn a_first_start_that_fails_leaves_no_data_folder_and_the_next_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(ANYWHERE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for args in [
        &["--listen", &address, "--simulator-listen", free][..],
        &["--listen", free, "--simulator-listen", &address],
        &[
            "--listen",
            free,
            "--simulator-listen",
            free,
            "--set",
            "http.max_headers=0",
        ],
        &[
            "--listen",
            free,
            "--simulator-listen",
            free,
            "--set",
            "providers.smtp.host=",
        ],
    ] {
        stderr(&run(folder.path(), &[&["dev"], args].concat()));
        assert!(!folder.path().join("carillon-data").exists(), "{args:?}");
    }
    let dev = Dev::start(folder.path());
    assert!(dev.ready["api_key"].is_string());
}
