//! The text of a file or a body that arrives in pieces: UTF-8, or UTF-16 with a byte order mark, which spreadsheets write.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE};

/// The longest beginning that names an encoding, in bytes.
const LONGEST_MARK: usize = 4;
/// The bytes of a file that are read at a time.
const PIECE: usize = 64 << 10;

/// The reason for which bytes are not a text that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// Every other byte at the beginning is 0.
    #[error("expected text in UTF-8, or in UTF-16 with a byte order mark, not in UTF-16 without one")]
    Unmarked,
    /// It begins with the byte order mark of UTF-32.
    #[error("expected text in UTF-8, or in UTF-16 with a byte order mark, not in UTF-32")]
    Utf32,
    /// It begins as ZIP archives do.
    #[error(
        "expected text in UTF-8, not a ZIP archive, which spreadsheets are (.xlsx, .ods): save it as CSV"
    )]
    Archive,
    /// A surrogate stands alone, or half a character is missing at the end.
    #[error("expected text in UTF-16, as its byte order mark says, but a character is incomplete")]
    Incomplete,
}

/// Makes UTF-8 of the pieces of a text. Bytes without a mark of another encoding are passed on unchecked.
#[derive(Default)]
pub struct TextPieces {
    /// The beginning, as long as it is too short to tell the encoding.
    begin: Vec<u8>,
    encoding: TextEncoding,
}

#[derive(Default)]
enum TextEncoding {
    #[default]
    Unknown,
    Utf8,
    Utf16(Decoder),
}

impl TextPieces {
    /// Appends the text of the next piece, without a byte order mark. After the piece that is the end, none may follow.
    pub fn push(&mut self, piece: &[u8], is_end: bool, text: &mut Vec<u8>) -> Result<(), NotText> {
        match &mut self.encoding {
            TextEncoding::Utf8 => {
                text.extend_from_slice(piece);
                Ok(())
            }
            TextEncoding::Utf16(decoder) => decode(decoder, piece, is_end, text),
            TextEncoding::Unknown => {
                self.begin.extend_from_slice(piece);
                if self.begin.len() < LONGEST_MARK && !is_end {
                    return Ok(());
                }
                let begin = std::mem::take(&mut self.begin);
                let (encoding, mark) = encoding_of(&begin)?;
                self.encoding = encoding;
                self.push(&begin[mark..], is_end, text)
            }
        }
    }
}

/// The encoding of a text by its beginning, and the length of its byte order mark.
fn encoding_of(begin: &[u8]) -> Result<(TextEncoding, usize), NotText> {
    Ok(match begin {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(NotText::Utf32),
        [0xff, 0xfe, ..] => (
            TextEncoding::Utf16(UTF_16LE.new_decoder_without_bom_handling()),
            2,
        ),
        [0xfe, 0xff, ..] => (
            TextEncoding::Utf16(UTF_16BE.new_decoder_without_bom_handling()),
            2,
        ),
        [0xef, 0xbb, 0xbf, ..] => (TextEncoding::Utf8, 3),
        [b'P', b'K', 3, 4, ..] => return Err(NotText::Archive),
        [first, second, ..] if (*first == 0) != (*second == 0) => return Err(NotText::Unmarked),
        _ => (TextEncoding::Utf8, 0),
    })
}

fn decode(decoder: &mut Decoder, piece: &[u8], is_end: bool, text: &mut Vec<u8>) -> Result<(), NotText> {
    let room = decoder.max_utf8_buffer_length_without_replacement(piece.len());
    let begin = text.len();
    text.resize(begin + room.ok_or(NotText::Incomplete)?, 0);
    let (result, _, written) = decoder.decode_to_utf8_without_replacement(piece, &mut text[begin..], is_end);
    text.truncate(begin + written);
    match result {
        DecoderResult::InputEmpty => Ok(()),
        DecoderResult::OutputFull | DecoderResult::Malformed(..) => Err(NotText::Incomplete),
    }
}

/// Reads a file as UTF-8, which it need not be in.
pub struct TextReader<R> {
    file: R,
    pieces: TextPieces,
    piece: Vec<u8>,
    text: Vec<u8>,
    /// The number of bytes of `text` that were read.
    read: usize,
    has_ended: bool,
}

impl<R: Read> TextReader<R> {
    /// A reader of the file's text.
    pub fn new(file: R) -> Self {
        Self {
            file,
            pieces: TextPieces::default(),
            piece: vec![0; PIECE],
            text: Vec::new(),
            read: 0,
            has_ended: false,
        }
    }
}

impl<R: Read> Read for TextReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.text.len() && !self.has_ended {
            self.text.clear();
            self.read = 0;
            let count = self.file.read(&mut self.piece)?;
            self.has_ended = count == 0;
            self.pieces
                .push(&self.piece[..count], self.has_ended, &mut self.text)
                .map_err(io::Error::other)?;
        }
        let rest = &self.text[self.read..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "channel,address\nemail,jörg@example.com\npush,😀\n";

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(unit)
            .collect()
    }

    /// The text of bytes that come in pieces of this size.
    fn read(bytes: &[u8], size: usize) -> Result<String, NotText> {
        let (mut pieces, mut text) = (TextPieces::default(), Vec::new());
        for piece in bytes.chunks(size) {
            pieces.push(piece, false, &mut text)?;
        }
        pieces.push(&[], true, &mut text)?;
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn utf_8_and_utf_16_are_the_same_text_in_pieces_of_any_size() {
        let marked = format!("\u{feff}{TEXT}").into_bytes();
        for bytes in [
            TEXT.as_bytes().to_vec(),
            marked,
            utf16(TEXT, u16::to_le_bytes),
            utf16(TEXT, u16::to_be_bytes),
        ] {
            for size in [1, 2, 3, 5, 1_000] {
                assert_eq!(read(&bytes, size).as_deref(), Ok(TEXT), "{size}");
            }
            let mut text = String::new();
            TextReader::new(&bytes[..]).read_to_string(&mut text).unwrap();
            assert_eq!(text, TEXT);
        }
        for short in ["", "a", "a\n", "é"] {
            assert_eq!(read(short.as_bytes(), 1).as_deref(), Ok(short));
            assert_eq!(read(&utf16(short, u16::to_le_bytes), 1).as_deref(), Ok(short));
        }
    }

    #[test]
    fn other_encodings_and_spreadsheets_are_named() {
        let mut half = utf16("ab", u16::to_le_bytes);
        half.pop();
        let mut alone = utf16("", u16::to_be_bytes);
        alone.extend([0xd8, 0x3d, 0, b'a']);
        for (bytes, expected) in [
            (utf16("ab", u16::to_le_bytes)[2..].to_vec(), NotText::Unmarked),
            (utf16("ab", u16::to_be_bytes)[2..].to_vec(), NotText::Unmarked),
            (vec![0xff, 0xfe, 0, 0, b'a', 0, 0, 0], NotText::Utf32),
            (vec![0, 0, 0xfe, 0xff, 0, 0, 0, b'a'], NotText::Utf32),
            (b"PK\x03\x04\x14\x00".to_vec(), NotText::Archive),
            (half, NotText::Incomplete),
            (alone, NotText::Incomplete),
        ] {
            for size in [1, 1_000] {
                assert_eq!(read(&bytes, size), Err(expected), "{bytes:?}");
            }
            let mut text = String::new();
            let refused = TextReader::new(&bytes[..]).read_to_string(&mut text);
            assert_eq!(crate::os_sentence(&refused.unwrap_err()), expected.to_string());
        }
    }
}
