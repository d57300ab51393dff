//! The sentences of the command line, and the commands beside a data folder.

use std::{fs, net::TcpListener, path::Path};

use serde_json::Value;

use crate::command_line::{ANYWHERE, Dev, carillon, run, stderr, stdout};

/// The number of times that a text contains a phrase.
fn count(said: &str, phrase: &str) -> usize {
    said.matches(phrase).count()
}

#[test]
fn the_version_names_the_commit_and_the_day_of_the_build() {
    let said = stdout(&run(Path::new("."), &["--version"]));
    let build = said
        .strip_prefix(concat!("carillon ", env!("CARGO_PKG_VERSION"), " ("))
        .and_then(|rest| rest.strip_suffix(")\n"));
    let (commit, day) = build.and_then(|build| build.split_once(", built ")).expect(&said);
    assert!(
        commit == "unknown commit" || commit.chars().all(|c| c.is_ascii_hexdigit()),
        "{said}"
    );
    assert!(
        chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok(),
        "{said}"
    );
}

#[test]
fn an_address_that_cannot_be_bound_is_one_sentence_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(ANYWHERE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    let set = |key: &str, address: &str| format!("{key}={address}");
    let (http, smtp) = (
        set("simulator.listen", free),
        set("simulator.smtp_listen", &address),
    );
    for (args, option) in [
        (
            vec!["dev", "--listen", &address, "--simulator-listen", free],
            "--listen",
        ),
        (
            vec!["dev", "--listen", free, "--simulator-listen", &address],
            "--simulator-listen",
        ),
        (
            vec!["gateway", "--set", &set("http.listen", &address)],
            "http.listen",
        ),
        (
            vec!["simulator", "--set", &set("simulator.listen", &address)],
            "simulator.listen",
        ),
        (
            vec!["simulator", "--set", &http, "--set", &smtp],
            "simulator.smtp_listen",
        ),
    ] {
        let said = stderr(&run(folder.path(), &args));
        assert_eq!(
            said,
            format!(
                "carillon: {address} is in use by another process; choose another address with {option}\n"
            ),
            "{args:?}"
        );
    }
    let said = stderr(&run(
        folder.path(),
        &["dev", "--listen", "192.0.2.1:8080", "--simulator-listen", free],
    ));
    assert_eq!(
        said,
        "carillon: 192.0.2.1:8080 is not an address of this machine; choose another address with --listen\n"
    );
}

#[test]
fn a_url_without_its_scheme_is_refused_with_the_form_that_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    for url in [
        "localhost:8080",
        "carillon.example",
        "ftp://carillon.example",
        "http://",
        "8080",
        "",
    ] {
        let args = ["deliveries", "list", "--key", "k", "--url", url];
        let said = stderr(&run(folder.path(), &args));
        assert!(
            said.contains(&format!("invalid value '{url}' for '--url <URL>': expected an address that begins with http:// or https://"))
                || url.is_empty() && said.contains("--url"),
            "{url}: {said}"
        );
    }
    let mut asked = carillon(folder.path());
    asked
        .args(["deliveries", "list", "--key", "k"])
        .env("CARILLON_URL", "localhost:8080");
    let said = stderr(&asked.output().unwrap());
    assert!(
        said.contains("expected an address that begins with http://"),
        "{said}"
    );
}

#[test]
fn a_gateway_that_does_not_answer_is_named_once_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind(ANYWHERE).unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let said = stderr(&run(
        folder.path(),
        &["deliveries", "list", "--key", "k", "--url", &url],
    ));
    assert_eq!(
        said,
        format!("carillon: {url} does not answer: it refuses the connection\n")
    );
}

#[test]
fn a_data_folder_that_is_a_file_is_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for args in [
        &["dev"][..],
        &["deliveries", "list"],
        &["keys", "list"],
        &["doctor"],
        &["catalog", "apply", "."],
        &["topics", "create"],
        &["read-model", "rebuild"],
    ] {
        let args = [args, &["--data-dir", "file"]].concat();
        let said = stderr(&run(folder.path(), &args));
        assert!(
            said.contains("invalid value 'file' for '--data-dir <DATA_DIR>': expected a folder"),
            "{args:?}: {said}"
        );
    }
    fs::write(folder.path().join("carillon-data"), "").unwrap();
    let said = stderr(&run(folder.path(), &[]));
    assert_eq!(
        said,
        "carillon: carillon-data is a file, and a data folder is expected; choose one with --data-dir\n"
    );
}

#[test]
fn a_role_that_does_not_exist_is_refused_with_the_roles_that_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = stderr(&run(folder.path(), &["keys", "create", "me", "--role", "god"]));
    assert!(
        said.contains("invalid value 'god' for '--role <ROLE>'")
            && ["viewer", "operator", "admin"]
                .iter()
                .all(|role| said.contains(role)),
        "{said}"
    );
    assert!(!said.contains("variant"), "{said}");
}

#[test]
fn every_summary_in_the_help_says_what_its_command_does() {
    let folder = tempfile::tempdir().unwrap();
    let help = stdout(&run(folder.path(), &["dlq", "--help"]));
    for sentence in [
        "List and show dead letters, and replay or discard them",
        "List dead letters, newest first",
        "Show a dead letter with its reason and its record",
    ] {
        assert_eq!(count(&help, sentence), 1, "{help}");
    }
}

/// The names of the API keys in a data folder.
fn keys(folder: &Path, data: &str) -> Vec<String> {
    let listed = stdout(&run(folder, &["keys", "list", "--json", "--data-dir", data]));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let names = listed.as_array().unwrap().iter();
    names
        .map(|key| key["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn catalog_apply_prints_the_warnings_about_a_doubtful_schema_and_applies_it() {
    let place = tempfile::tempdir().unwrap();
    let _dev = Dev::start(place.path());
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("templates/T")).unwrap();
    fs::write(folder.path().join("templates/T/sms.text.hbs"), "Hello").unwrap();
    let catalog =
        "categories: {c: {}}\ntypes: {T: {category: c, channels: {order: [sms]}, schema: {requird: [a]}}}\n";
    fs::write(folder.path().join("catalog.yaml"), catalog).unwrap();
    let source = folder.path().to_str().unwrap();
    let applied = run(place.path(), &["catalog", "apply", source]);
    let warned = String::from_utf8_lossy(&applied.stderr).into_owned();
    assert!(
        warned.starts_with("Warning: ")
            && warned.ends_with(
                "/catalog.yaml /types/T/schema/requird: expected required, not requird, which no draft of JSON Schema has: \
                 it is not checked\n"
            ),
        "{warned}"
    );
    assert!(
        stdout(&applied).starts_with("The catalog is at version "),
        "{applied:?}"
    );
}

#[test]
fn commands_use_the_named_data_folder_and_a_second_carillon_is_told_which_process_uses_it() {
    let place = tempfile::tempdir().unwrap();
    let dev = Dev::start(place.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let data = place.path().join("carillon-data");
    let data = data.to_str().unwrap();

    stdout(&run(
        elsewhere.path(),
        &["keys", "create", "me", "--role", "viewer", "--data-dir", data],
    ));
    assert_eq!(keys(elsewhere.path(), data), ["me", "carillon dev"]);
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
    let applied = stdout(&run(
        elsewhere.path(),
        &["catalog", "apply", shop, "--data-dir", data],
    ));
    assert!(applied.starts_with("Nothing has changed"), "{applied}");
    let checked = stdout(&run(elsewhere.path(), &["doctor", "--data-dir", data]));
    assert!(
        checked.contains("is ready") && checked.contains("in use by a running carillon"),
        "{checked}"
    );
    assert!(
        fs::read_dir(elsewhere.path()).unwrap().next().is_none(),
        "nothing is made here"
    );

    let second = [
        "dev",
        "--data-dir",
        data,
        "--listen",
        "127.0.0.1:0",
        "--simulator-listen",
        "127.0.0.1:0",
    ];
    let said = stderr(&run(elsewhere.path(), &second));
    let process = dev.process.id();
    assert_eq!(
        said,
        format!(
            "carillon: {data} is in use by another carillon (process {process}); stop that one, or choose another \
             folder with --data-dir\n"
        )
    );
    let said = stderr(&run(
        elsewhere.path(),
        &["read-model", "rebuild", "--data-dir", data],
    ));
    assert!(
        said.contains(&format!("is in use by another carillon (process {process})")),
        "{said}"
    );

    for command in [
        &["keys", "list"][..],
        &["doctor"],
        &["topics", "create"],
        &["read-model", "rebuild"],
    ] {
        let args = [command, &["--data-dir", "none"]].concat();
        let said = stderr(&run(elsewhere.path(), &args));
        assert_eq!(
            said,
            "carillon: --data-dir: expected the data folder of a carillon dev, not none, in which there is no store.db\n",
            "{command:?}"
        );
    }
    let said = stderr(&run(place.path(), &["keys", "revoke", "x\u{1b}y"]));
    assert!(
        said.contains("ID: expected a key's id, a UUID that carillon keys list shows, not \"x\\u001by\""),
        "{said}"
    );
    let said = stderr(&run(place.path(), &["dlq", "get", "no-such-letter"]));
    assert!(said.starts_with("carillon: "), "{said}");
    assert_eq!(
        stderr(&run(place.path(), &["dlq", "show", "no-such-letter"])),
        said,
        "show is another name of get"
    );
}
