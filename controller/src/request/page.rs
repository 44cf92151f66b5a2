//! Pages of lists: their size, and the token that says where the next one begins.
//!
//! A token is opaque to clients and grants nothing; it is authenticated so that a client cannot
//! make one up and come to depend on its form.

use super::violations::Violations;
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use prost::Message;
use provado_model::limits::{MESSAGE_BYTES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use provado_model::{Error, Reason};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
const DIGEST_BYTES: usize = 16;
/// Bytes of the messages on one page; the rest of a message is for what is around them.
const PAGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 4 * 3;

/// How many rows to serve: 0 means [`PAGE_SIZE_DEFAULT`], more than [`PAGE_SIZE_MAX`] means that
/// many. Errors: `INVALID_ARGUMENT` for a negative number.
pub fn page_size(wanted: i32) -> Result<u32, Error> {
    match u32::try_from(wanted) {
        Err(_) => Err(Violations::of("page_size", "must not be negative")),
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
    }
}

/// A page of rows as it was read: one more than asked for shows that there is a next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows to serve.
    pub rows: Vec<T>,
    /// Whether there are more.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Cuts what was read with a limit of `size + 1` to `size`.
    pub fn cut(mut rows: Vec<T>, size: u32) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let has_more = rows.len() > size;
        rows.truncate(size);
        Self { rows, has_more }
    }
}

/// Counts the bytes of a page, which must fit into one message however many rows were asked for.
#[derive(Debug, Default)]
pub struct PageBytes {
    bytes: usize,
}

impl PageBytes {
    /// Whether this message still goes onto the page. The first one does, else a list would stand
    /// still; one that does not is the first of the next page.
    pub fn takes(&mut self, message: &impl Message) -> bool {
        let is_first = self.bytes == 0;
        self.bytes = self.bytes.saturating_add(message.encoded_len().max(1));
        is_first || self.bytes <= PAGE_BYTES_MAX
    }
}

/// Parts of one message, from the first, as long as they fit into so many bytes; and how many were
/// left out.
pub fn fitting<T: Message>(
    parts: impl IntoIterator<Item = T>,
    bytes_max: usize,
) -> (Vec<T>, usize) {
    let mut bytes = 0_usize;
    let mut left_count = 0;
    let mut out = Vec::new();
    for part in parts {
        bytes = bytes.saturating_add(part.encoded_len().max(1));
        if bytes <= bytes_max {
            out.push(part);
        } else {
            left_count += 1;
        }
    }
    (out, left_count)
}

/// Makes and reads page tokens.
#[derive(Debug)]
pub struct PageTokens {
    key: hmac::Key,
}

impl PageTokens {
    /// With the key that all controllers of one database share.
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// The token for the page after the row with this key. `filter` is whatever decides which rows
    /// the list has, in a form that is the same for every page.
    pub fn make(&self, method: &str, filter: &[u8], last_key: &str) -> String {
        let mut token = vec![VERSION];
        token.extend_from_slice(&binding(method, filter));
        token.extend_from_slice(last_key.as_bytes());
        let tag = hmac::sign(&self.key, &token);
        token.extend(tag.as_ref().iter().take(TAG_BYTES));
        BASE64URL_NOPAD.encode(&token)
    }

    /// The key of the last row seen; none for an empty token, which asks for the first page.
    /// Errors: `PAGE_TOKEN_INVALID` for a token of another list, filter, version or program.
    pub fn read(&self, method: &str, filter: &[u8], token: &str) -> Result<Option<String>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let invalid = || {
            Error::new(
                Reason::PageTokenInvalid,
                "the page token does not belong to this list with this filter; begin at the \
                 first page",
            )
        };
        let bytes = BASE64URL_NOPAD
            .decode(token.as_bytes())
            .map_err(|_| invalid())?;
        let split = bytes.len().checked_sub(TAG_BYTES).ok_or_else(invalid)?;
        let (signed, tag) = bytes.split_at(split);
        let expected = hmac::sign(&self.key, signed);
        let expected = expected.as_ref().get(..TAG_BYTES).unwrap_or_default();
        if !bool::from(subtle::ConstantTimeEq::ct_eq(expected, tag)) {
            return Err(invalid());
        }
        let rest = signed.strip_prefix(&[VERSION]).ok_or_else(invalid)?;
        let last_key = rest
            .strip_prefix(&binding(method, filter))
            .ok_or_else(invalid)?;
        String::from_utf8(last_key.to_vec())
            .map(Some)
            .map_err(|_| invalid())
    }
}

fn binding(method: &str, filter: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha256::new();
    hash.update(method.as_bytes());
    hash.update([0]);
    hash.update(filter);
    let digest: [u8; 32] = hash.finalize().into();
    let mut short = [0; DIGEST_BYTES];
    short.copy_from_slice(&digest[..DIGEST_BYTES]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_its_message_is_full() {
        let mut page = PageBytes::default();
        let text = "x".repeat(PAGE_BYTES_MAX / 2 - 10);
        assert!(page.takes(&text) && page.takes(&text));
        assert!(!page.takes(&text));
        let mut page = PageBytes::default();
        assert!(page.takes(&"x".repeat(PAGE_BYTES_MAX * 2)));
        assert!(!page.takes(&String::new()));
        let parts = || (0..10).map(|_| "x".repeat(10));
        let (fit, left_count) = fitting(parts(), 40);
        assert_eq!((fit.len(), left_count), (3, 7));
        assert_eq!(fitting(parts(), 0), (Vec::new(), 10));
        assert_eq!(fitting(parts(), 1_000).1, 0);
    }

    #[test]
    fn a_token_is_good_for_its_own_list_only() {
        let tokens = PageTokens::new(&[7; 32]);
        let token = tokens.make("ListRuns", b"state=failed", "123/ab");
        let read = |method, filter: &[u8], token: &str| tokens.read(method, filter, token);
        assert_eq!(
            read("ListRuns", b"state=failed", &token).unwrap(),
            Some("123/ab".to_owned())
        );
        assert_eq!(read("ListRuns", b"", "").unwrap(), None);
        assert!(read("ListRuns", b"", &token).is_err());
        assert!(read("ListBackups", b"state=failed", &token).is_err());
        let other = PageTokens::new(&[8; 32]);
        assert!(other.read("ListRuns", b"state=failed", &token).is_err());
        for index in 0..token.len() {
            let mut damaged = token.clone().into_bytes();
            damaged[index] = if damaged[index] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(
                read("ListRuns", b"state=failed", &damaged).is_err(),
                "{index}"
            );
        }
        for bad in ["A", "AAAA", "!", "ä", &token[..token.len() - 2]] {
            assert!(read("ListRuns", b"state=failed", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn page_sizes_are_bounded() {
        assert_eq!(page_size(0).unwrap(), 50);
        assert_eq!(page_size(7).unwrap(), 7);
        assert_eq!(page_size(i32::MAX).unwrap(), 1_000);
        assert!(page_size(-1).is_err());
        let page = Page::cut(vec![1, 2, 3], 2);
        assert_eq!((page.rows.len(), page.has_more), (2, true));
        assert!(!Page::cut(vec![1, 2], 2).has_more);
    }
}
