//! Decoding a body piece by piece. The work that a body causes is bounded by its decoded size, and other tasks run between
//! the pieces.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_compression::tokio::bufread::{DeflateDecoder, GzipDecoder, ZlibDecoder};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _},
    task::yield_now,
};

use super::{
    body::RefusedBody,
    problem::{Problem, ProblemKind},
};

/// An encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

/// The most members of a gzip body. Each costs a new decoder, although it may decode to nothing.
const MAX_MEMBERS: usize = 1_000;
/// The most encoded bytes for each decoded one, beyond [`ALLOWANCE`]. Data that cannot be compressed needs about one.
const MAX_RATIO: u64 = 4;
/// The encoded bytes that may decode to nothing, such as headers, empty blocks and empty members.
const ALLOWANCE: u64 = 128 << 10;
/// The size of a decoded piece in bytes.
const PIECE: usize = 8 << 10;

/// The cost after which other tasks run. A decoded byte costs 1.
const TURN: usize = 64 << 10;
const COST_OF_ENCODED_BYTE: usize = 4;
const COST_OF_MEMBER: usize = 4 << 10;

/// The decoded pieces of a body.
pub(super) fn inflate(
    reader: impl AsyncBufRead + Send + Unpin + 'static,
    coding: Coding,
) -> BoxStream<'static, io::Result<Bytes>> {
    let begin = async move {
        let reader = Paced::new(reader);
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(GzipDecoder::new(reader)),
            Coding::Deflate => deflate(reader).await?,
        };
        let inflation = Inflation { decoder, members: 1 };
        Ok::<_, io::Error>(stream::try_unfold(inflation, Inflation::next))
    };
    stream::once(begin).try_flatten().boxed()
}

/// RFC 9110's deflate has a zlib header, but some clients send the bare deflate stream.
async fn deflate<R: AsyncBufRead + Unpin>(mut reader: Paced<R>) -> io::Result<Decoder<Paced<R>>> {
    let is_zlib = match reader.fill_buf().await? {
        [first, second, ..] => first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0,
        [first] => first & 0x0f == 8,
        [] => true,
    };
    Ok(if is_zlib {
        Decoder::Zlib(ZlibDecoder::new(reader))
    } else {
        Decoder::Deflate(DeflateDecoder::new(reader))
    })
}

enum Decoder<R> {
    Gzip(GzipDecoder<R>),
    Zlib(ZlibDecoder<R>),
    Deflate(DeflateDecoder<R>),
}

impl<R: AsyncBufRead + Unpin> Decoder<R> {
    /// Reads a piece. No bytes mean the end of the stream, or of a member of gzip.
    async fn read(&mut self) -> io::Result<Bytes> {
        let mut piece = BytesMut::with_capacity(PIECE);
        match self {
            Self::Gzip(decoder) => decoder.read_buf(&mut piece).await?,
            Self::Zlib(decoder) => decoder.read_buf(&mut piece).await?,
            Self::Deflate(decoder) => decoder.read_buf(&mut piece).await?,
        };
        Ok(piece.freeze())
    }

    fn reader(&mut self) -> &mut R {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
        }
    }
}

/// The state between two pieces.
struct Inflation<R> {
    decoder: Decoder<Paced<R>>,
    /// The number of members of gzip that have begun.
    members: usize,
}

impl<R: AsyncBufRead + Unpin> Inflation<R> {
    /// Decodes the next piece.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            let piece = self.decoder.read().await?;
            let reader = self.decoder.reader();
            reader.decoded(piece.len());
            reader.take_turns().await;
            if !piece.is_empty() {
                return Ok(Some((piece, self)));
            }
            let Decoder::Gzip(ended) = self.decoder else {
                return Ok(None);
            };
            let mut reader = ended.into_inner();
            if reader.fill_buf().await?.is_empty() {
                return Ok(None);
            }
            if self.members == MAX_MEMBERS {
                return Err(too_costly(&format!("at most {MAX_MEMBERS} members of gzip")));
            }
            reader.spent += COST_OF_MEMBER;
            self.decoder = Decoder::Gzip(GzipDecoder::new(reader));
            self.members += 1;
        }
    }
}

/// An encoded body that gives up its bytes in turns, and only as many as its decoded bytes justify.
struct Paced<R> {
    inner: R,
    encoded: u64,
    decoded: u64,
    /// The cost since the last turn of other tasks.
    spent: usize,
    /// Whether the last poll ended only because the cost was [`TURN`].
    is_paused: bool,
}

impl<R> Paced<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            encoded: 0,
            decoded: 0,
            spent: 0,
            is_paused: false,
        }
    }

    fn decoded(&mut self, bytes: usize) {
        self.decoded += bytes as u64;
        self.spent += bytes;
    }

    fn begin_turn(&mut self) {
        self.spent = 0;
        self.is_paused = false;
    }

    /// Lets other tasks run if the cost requires it. A decoder returns decoded bytes where its reader pauses, so the pause of
    /// the reader alone would not reach the runtime.
    async fn take_turns(&mut self) {
        if self.spent >= TURN {
            yield_now().await;
            self.begin_turn();
        }
    }
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for Paced<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.spent >= TURN && !this.is_paused {
            this.is_paused = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.is_paused {
            this.begin_turn();
        }
        let most = (TURN - this.spent).div_ceil(COST_OF_ENCODED_BYTE);
        let bytes = ready!(Pin::new(&mut this.inner).poll_fill_buf(context))?;
        if !bytes.is_empty() && this.encoded > ALLOWANCE + MAX_RATIO * this.decoded {
            let text = format!("at most {MAX_RATIO} encoded bytes for each decoded byte");
            return Poll::Ready(Err(too_costly(&text)));
        }
        Poll::Ready(Ok(bytes.get(..most).unwrap_or(bytes)))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.encoded += amount as u64;
        this.spent += COST_OF_ENCODED_BYTE * amount;
        Pin::new(&mut this.inner).consume(amount);
    }
}

impl<R: AsyncBufRead + Unpin> tokio::io::AsyncRead for Paced<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.as_mut().poll_fill_buf(context))?;
        let amount = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

/// The error of a body whose decoding costs more than its content justifies.
fn too_costly(expected: &str) -> io::Error {
    let text = format!("content-encoding: expected {expected}");
    let refused = RefusedBody(Problem::new(ProblemKind::TooLarge, text));
    io::Error::other(axum::Error::new(refused))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_compression::tokio::bufread::GzipEncoder;
    use axum::{body::Body, extract::Request, http::header};

    use super::*;
    use crate::http::{decode, read_capped};

    /// An empty block of deflate that is not the last one.
    const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];
    const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

    async fn read(encoding: &'static str, body: Vec<u8>) -> Result<Bytes, Problem> {
        let request = Request::post("/").header(header::CONTENT_ENCODING, encoding);
        let request = decode(request.body(Body::from(body)).unwrap()).unwrap();
        read_capped(request.into_body(), 8 << 20).await
    }

    async fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut members = Vec::new();
        GzipEncoder::new(bytes).read_to_end(&mut members).await.unwrap();
        members
    }

    #[tokio::test]
    async fn a_gzip_body_has_at_most_a_thousand_members_however_little_they_hold() {
        let empty = gzip(b"").await;
        assert_eq!(read("gzip", empty.repeat(1_000)).await.unwrap(), "");
        let small = gzip(b"a").await;
        assert_eq!(read("gzip", small.repeat(1_000)).await.unwrap().len(), 1_000);
        for (encoding, body) in [
            ("gzip", empty.repeat(1_001)),
            ("gzip", empty.repeat(50_000)),
            ("gzip", small.repeat(50_000)),
            ("gzip, gzip", gzip(&empty.repeat(50_000)).await),
        ] {
            let problem = read(encoding, body).await.unwrap_err();
            assert_eq!((problem.slug(), problem.status), ("too-large", 413));
            assert_eq!(
                problem.detail,
                "content-encoding: expected at most 1000 members of gzip"
            );
        }
    }

    #[tokio::test]
    async fn encoded_bytes_that_decode_to_nothing_are_refused_beyond_a_bound() {
        let blocks = EMPTY_BLOCK.repeat(100_000);
        let mut named = GZIP_HEADER;
        named[3] = 8;
        for (encoding, body) in [
            ("deflate", blocks.clone()),
            ("deflate", [&[0x78, 0x01], &blocks[..]].concat()),
            ("gzip", [&GZIP_HEADER[..], &blocks].concat()),
            // A header whose file name does not end.
            ("gzip", [&named[..], &b"a".repeat(500_000)].concat()),
            ("deflate, gzip", gzip(&blocks).await),
        ] {
            let problem = read(encoding, body).await.unwrap_err();
            assert_eq!((problem.slug(), problem.status), ("too-large", 413));
            assert_eq!(
                problem.detail,
                "content-encoding: expected at most 4 encoded bytes for each decoded byte"
            );
        }
        let end = [0x01, 0, 0, 0xff, 0xff];
        let few = [&EMPTY_BLOCK.repeat(20_000)[..], &end].concat();
        assert_eq!(read("deflate", few).await.unwrap(), "");
    }

    #[tokio::test]
    async fn data_that_cannot_be_compressed_is_decoded_in_any_number_of_blocks() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(2 << 20)
        .collect();
        assert_eq!(read("gzip", gzip(&noise).await).await.unwrap(), noise);
        // Each block has ten bytes, as of a producer that flushes after each value.
        let block = [&[0, 10, 0, 0xf5, 0xff], &b"0123456789"[..]].concat();
        let flushed = [&block.repeat(100_000)[..], &[0x01, 0, 0, 0xff, 0xff]].concat();
        assert_eq!(read("deflate", flushed).await.unwrap().len(), 1_000_000);
    }

    #[tokio::test]
    async fn other_tasks_run_while_a_body_is_decoded() {
        let large = gzip(&vec![b' '; 8 << 20]).await;
        let members = gzip(b"").await.repeat(1_000);
        let blocks = EMPTY_BLOCK.repeat(25_000);
        for (encoding, body, expected) in [
            ("gzip", large, 100),
            ("gzip", members, 50),
            ("deflate", blocks, 5),
        ] {
            let turns = AtomicUsize::new(0);
            let is_decoded = AtomicBool::new(false);
            let other = async {
                while !is_decoded.load(Ordering::Relaxed) {
                    turns.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            };
            let decoding = async {
                let _ = read(encoding, body).await;
                is_decoded.store(true, Ordering::Relaxed);
            };
            tokio::join!(decoding, other);
            let turns = turns.into_inner();
            assert!(turns >= expected, "{encoding}: {turns}");
        }
    }
}
