//! Faults of Redis, recognised by the code at the start of an error.

use redis::{ErrorKind, RedisError};

/// A fault of Redis. It passes by itself or after an operator's repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RedisFault {
    /// Redis could not be reached, or did not answer in time.
    #[error("Redis does not answer")]
    Silent,
    /// Redis is a replica and takes no writes.
    #[error("Redis is a replica and takes no writes")]
    Replica,
    /// Redis is a replica without its primary.
    #[error("Redis is a replica and has lost its primary")]
    PrimaryAway,
    /// Redis has started and is loading its data.
    #[error("Redis is loading its data")]
    Loading,
    /// Redis has reached `maxmemory` and evicts nothing.
    #[error("Redis has no memory left: raise maxmemory, or let it evict")]
    Full,
    /// Redis takes no writes, because its last snapshot or append failed or too few replicas follow it.
    #[error("Redis takes no writes until it can save or replicate them")]
    NotSafe,
    /// Redis refuses the user, the password or a command.
    #[error("Redis refuses the login or a command: check the user and password in redis.url")]
    Login,
    /// Redis is a node of a cluster, or answers with an unknown error.
    #[error("Redis cannot be used: expected one primary of version 6 or later, and no cluster")]
    Other,
}

impl RedisFault {
    pub(crate) fn of(error: &RedisError) -> Self {
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::Login;
        }
        error.code().map_or(Self::Silent, Self::of_code)
    }

    fn of_code(code: &str) -> Self {
        match code {
            "READONLY" => Self::Replica,
            "MASTERDOWN" => Self::PrimaryAway,
            "LOADING" => Self::Loading,
            "OOM" => Self::Full,
            "MISCONF" | "NOREPLICAS" => Self::NotSafe,
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Self::Login,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_code_of_redis_names_a_fault() {
        for (code, fault) in [
            ("READONLY", RedisFault::Replica),
            ("MASTERDOWN", RedisFault::PrimaryAway),
            ("LOADING", RedisFault::Loading),
            ("OOM", RedisFault::Full),
            ("MISCONF", RedisFault::NotSafe),
            ("NOAUTH", RedisFault::Login),
            ("WRONGPASS", RedisFault::Login),
            ("MOVED", RedisFault::Other),
        ] {
            assert_eq!(RedisFault::of_code(code), fault, "{code}");
        }
        let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(RedisFault::of(&refused), RedisFault::Silent);
    }
}
