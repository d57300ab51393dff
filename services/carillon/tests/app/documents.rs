//! The objects that the documents name exist.

use std::path::Path;

/// All texts in backticks that look like a path of this repository.
fn paths(text: &str) -> Vec<String> {
    let roots = [
        "shared/",
        "services/",
        "examples/",
        "deploy/",
        "docs/",
        "bench/",
        ".ci/",
    ];
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| roots.iter().any(|root| word.starts_with(root)))
        .filter(|word| !word.contains(['{', '*', '<', ' ']))
        .map(|word| {
            word.split("::")
                .next()
                .unwrap_or_default()
                .trim_end_matches('/')
                .to_owned()
        })
        .collect()
}

#[test]
fn every_path_that_the_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for document in ["ARCHITECTURE.md", "README.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect(document);
        let named = paths(&text);
        assert!(!named.is_empty(), "{document} names no path");
        let missing: Vec<_> = named.iter().filter(|path| !root.join(path).exists()).collect();
        assert!(
            missing.is_empty(),
            "{document} names what is not there: {missing:?}"
        );
    }
}

#[test]
fn the_image_is_built_from_all_that_the_workspace_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect(file);
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let context = read("deploy/Dockerfile.dockerignore");
    let is_let_in = |path: &str| {
        let mut exceptions = context.lines().filter_map(|line| line.strip_prefix('!'));
        exceptions.any(|exception| Path::new(path).starts_with(exception))
    };
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let named = members.iter().map(|member| member.as_str().unwrap());
    let missing: Vec<_> = named
        .chain(["Cargo.toml", "Cargo.lock", ".cargo/config.toml"])
        .filter(|path| !is_let_in(path))
        .collect();
    assert!(missing.is_empty(), "left out of the image's context: {missing:?}");

    // The build image has the toolchain; with this file it would download the components of lints and formatter.
    assert!(!is_let_in("rust-toolchain.toml"));
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let minor = channel.rsplit_once('.').unwrap().0;
    let dockerfile = read("deploy/Dockerfile");
    assert!(
        dockerfile.contains(&format!("FROM rust:{minor}-")),
        "the image is built by another Rust than {channel}"
    );
}
