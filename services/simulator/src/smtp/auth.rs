//! AUTH PLAIN (RFC 4616) and LOGIN, step by step.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN};
use subtle::ConstantTimeEq as _;

/// The expected content of the client's next line.
#[derive(Debug)]
pub(super) enum Dialogue {
    Plain,
    LoginName,
    LoginPassword { name: Vec<u8> },
}

/// The result of a line of the client.
#[derive(Debug)]
pub(super) enum Step {
    /// The dialogue continues: `334` with this text.
    Ask(&'static str, Dialogue),
    /// Name and password are complete.
    Credentials { name: Vec<u8>, password: Vec<u8> },
    /// The line is not Base64, or does not fit the mechanism.
    Malformed,
    /// The client cancelled (`*`).
    Cancelled,
    /// The mechanism is not supported.
    Unknown,
}

/// The `AUTH` command.
pub(super) fn begin(mechanism: u64, initial_response: &str) -> Step {
    match mechanism {
        AUTH_PLAIN if initial_response.is_empty() => Step::Ask("", Dialogue::Plain),
        AUTH_PLAIN => Dialogue::Plain.line(initial_response.as_bytes()),
        AUTH_LOGIN if initial_response.is_empty() => Step::Ask("VXNlcm5hbWU6", Dialogue::LoginName),
        AUTH_LOGIN => Dialogue::LoginName.line(initial_response.as_bytes()),
        _ => Step::Unknown,
    }
}

impl Dialogue {
    pub(super) fn line(self, line: &[u8]) -> Step {
        if line == b"*" {
            return Step::Cancelled;
        }
        let Ok(decoded) = STANDARD.decode(line) else {
            return Step::Malformed;
        };
        match self {
            Self::LoginName => Step::Ask("UGFzc3dvcmQ6", Self::LoginPassword { name: decoded }),
            Self::LoginPassword { name } => Step::Credentials {
                name,
                password: decoded,
            },
            Self::Plain => {
                let parts: Vec<&[u8]> = decoded.split(|byte| *byte == 0).collect();
                match parts[..] {
                    [_, name, password] => Step::Credentials {
                        name: name.to_vec(),
                        password: password.to_vec(),
                    },
                    _ => Step::Malformed,
                }
            }
        }
    }
}

/// Whether these are the user's credentials; without a user, any are valid.
pub(super) fn good(user: Option<&(String, String)>, name: &[u8], password: &[u8]) -> bool {
    user.is_none_or(|(known_name, known_password)| {
        bool::from(name.ct_eq(known_name.as_bytes()) & password.ct_eq(known_password.as_bytes()))
    })
}
