use clap::CommandFactory as _;

use super::*;

/// Runs a test for each command, with the names of the commands above it.
fn each(command: &clap::Command, name: &str, test: &mut impl FnMut(&str, &clap::Command)) {
    test(name, command);
    for sub in command.get_subcommands() {
        each(sub, &format!("{name} {}", sub.get_name()), test);
    }
}

#[test]
fn every_help_shows_examples_that_are_understood() {
    let mut tried = 0;
    each(&Cli::command(), "carillon", &mut |name, command| {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let examples: Vec<&str> = help
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("carillon"))
            .collect();
        assert!(
            help.starts_with("Examples:") && !examples.is_empty(),
            "{name}: {help}"
        );
        for example in examples {
            let words = words(example);
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{example}: {error}");
            }
            assert!(example.starts_with(name), "{name}: {example}");
            tried += 1;
        }
    });
    assert!(tried > 25, "{tried}");
}

/// Splits a line as a shell does, up to the first `|`, `>` or `<`.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '>' | '<') => break,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn a_listening_address_may_be_a_name() {
    for (text, expected) in [
        ("localhost:8080", "127.0.0.1:8080"),
        ("[::1]:9000", "[::1]:9000"),
        ("0.0.0.0:0", "0.0.0.0:0"),
    ] {
        let cli = Cli::try_parse_from(["carillon", "dev", "--listen", text]).unwrap();
        let Some(Command::Dev(args)) = cli.command else {
            panic!("{text}")
        };
        assert_eq!(args.listen, expected.parse().unwrap(), "{text}");
    }
    for text in [
        "8080",
        "localhost",
        "localhost:port",
        ":8080",
        "no.such.host.invalid:1",
    ] {
        let error = Cli::try_parse_from(["carillon", "dev", "--listen", text])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("--listen") && error.contains("expected"),
            "{error}"
        );
    }
}
