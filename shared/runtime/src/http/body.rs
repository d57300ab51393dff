//! Bodies are cut while they stream, not after they were read.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::problem::{Problem, ProblemKind};

/// Reads a body of at most `max` bytes; a larger one is `too-large` as soon as it is, and one that breaks off is
/// `malformed-json`.
pub async fn read_capped(body: Body, max: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Problem::new(
            ProblemKind::TooLarge,
            format!("expected a body of at most {max} bytes"),
        )),
        Err(_) => Err(Problem::new(ProblemKind::MalformedJson, "the body broke off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_cut_at_the_limit() {
        let endless =
            futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024])));
        let problem = read_capped(Body::from_stream(endless), 10_000).await.unwrap_err();
        assert_eq!((problem.slug(), problem.status), ("too-large", 413));
        assert_eq!(read_capped(Body::from("ok"), 2).await.unwrap(), "ok");
    }
}
