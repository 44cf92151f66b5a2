//! `COPY ... TO STDOUT` from a server behind a Unix socket, without a driver in between.
//!
//! A drill reads every row of the restored database back, and a server sends each as a message of
//! its own: what a driver does for a message, times the rows, would take longer than the server.
//! This speaks just enough of the protocol (version 3.0, PostgreSQL manual, "Frontend/Backend
//! Protocol") to ask for one COPY after the other and hands the payload on as it lies in the
//! buffer. It knows no authentication but trust: it is for throw-away instances, whose socket
//! stands in a private directory.

use super::connection::{ServerAddress, session_options};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Bytes asked of the socket at a time; also the longest message that is no data.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Version 3.0 as the startup message writes it.
const PROTOCOL: i32 = 196_608;

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CopyOutError {
    /// The connection failed.
    #[error("the connection to the throw-away instance failed")]
    Io(#[from] std::io::Error),
    /// The server refused.
    #[error("the server refused: {message} (SQLSTATE {sqlstate})")]
    Server {
        /// Its message.
        message: String,
        /// Its code.
        sqlstate: String,
    },
    /// The server said something that has no place here.
    #[error("the server's answer is not understood: {0}")]
    Protocol(String),
    /// The taker of the rows would have no more.
    #[error("{0}")]
    Taker(String),
}

/// One connection.
#[derive(Debug)]
pub struct CopyOut {
    stream: UnixStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// A message's type and the bytes of its body.
type Head = (u8, usize);

impl CopyOut {
    /// Connects as the address's user; text comes in `encoding`, PostgreSQL's name of it.
    pub fn connect(
        address: &ServerAddress,
        database: &str,
        application_name: &str,
        encoding: &str,
    ) -> Result<Self, CopyOutError> {
        let name = format!(".s.PGSQL.{}", address.port);
        let stream = UnixStream::connect(Path::new(&address.host).join(name))?;
        let mut this = Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        };
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for (key, value) in [
            ("user", address.user.as_str()),
            ("database", database),
            ("application_name", application_name),
            ("client_encoding", encoding),
            ("options", &session_options()),
        ] {
            for text in [key, value] {
                body.extend(text.bytes().filter(|b| *b != 0));
                body.push(0);
            }
        }
        body.push(0);
        this.send(None, &body)?;
        loop {
            let head = this.head()?;
            let body = this.body(head)?;
            match head.0 {
                b'R' if body == [0, 0, 0, 0] => {}
                b'R' => return Err(odd("it asks for a password")),
                b'Z' => return Ok(this),
                b'S' | b'K' | b'N' => {}
                other => return Err(unexpected(other)),
            }
        }
    }

    /// Runs one COPY and hands its data to `take` in whatever pieces they come. After an error of
    /// the server the connection is ready for the next; after any other it is of no more use.
    pub fn copy(
        &mut self,
        statement: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), CopyOutError> {
        let mut body = statement.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        let mut refused = None;
        loop {
            let head = match self.head() {
                Err(error @ CopyOutError::Server { .. }) => {
                    refused = Some(error);
                    continue;
                }
                other => other?,
            };
            if head.0 == b'd' {
                self.data(head.1, &mut take)?;
                continue;
            }
            self.body(head)?;
            match head.0 {
                b'Z' => return refused.map_or(Ok(()), Err),
                b'H' | b'c' | b'C' | b'N' | b'S' => {}
                other => return Err(unexpected(other)),
            }
        }
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), CopyOutError> {
        let length = i32::try_from(body.len() + 4).map_err(|_| odd("a message too long"))?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message)?;
        Ok(())
    }

    /// The next message's head; an error message becomes an error.
    fn head(&mut self) -> Result<Head, CopyOutError> {
        let bytes = self.peek(5)?;
        let (kind, length) = match bytes {
            [kind, a, b, c, d, ..] => (*kind, u32::from_be_bytes([*a, *b, *c, *d])),
            _ => return Err(odd("a message too short")),
        };
        self.start += 5;
        let body = usize::try_from(length).ok().and_then(|n| n.checked_sub(4));
        let head = (kind, body.ok_or_else(|| odd("a length that cannot be"))?);
        if kind == b'E' {
            let body = self.body(head)?;
            return Err(server_error(&body));
        }
        Ok(head)
    }

    /// A whole body, which is then behind us.
    fn body(&mut self, (_, length): Head) -> Result<Vec<u8>, CopyOutError> {
        let body = self
            .peek(length)?
            .get(..length)
            .unwrap_or_default()
            .to_vec();
        self.start += length;
        Ok(body)
    }

    /// Hands a body on as it comes, without putting it together.
    fn data(
        &mut self,
        mut left: usize,
        take: &mut impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), CopyOutError> {
        while left > 0 {
            let there = self.peek(1)?;
            let part = there.get(..left.min(there.len())).unwrap_or_default();
            take(part).map_err(CopyOutError::Taker)?;
            let taken = part.len();
            self.start += taken;
            left -= taken;
        }
        Ok(())
    }

    /// At least `count` bytes of what comes next.
    fn peek(&mut self, count: usize) -> Result<&[u8], CopyOutError> {
        if count > BUFFER_BYTES {
            return Err(odd("a message longer than any"));
        }
        while self.end - self.start < count {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.stream.read(room) {
                Ok(0) => {
                    let kind = std::io::ErrorKind::UnexpectedEof;
                    return Err(std::io::Error::from(kind).into());
                }
                Ok(got) => self.end += got,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }
}

fn odd(what: &str) -> CopyOutError {
    CopyOutError::Protocol(what.to_owned())
}

fn unexpected(kind: u8) -> CopyOutError {
    CopyOutError::Protocol(format!("message {:?}", char::from(kind)))
}

/// Fields of an ErrorResponse: a letter, a text, a NUL, again and again.
fn server_error(body: &[u8]) -> CopyOutError {
    let field = |letter: u8| {
        body.split(|b| *b == 0)
            .find_map(|part| part.strip_prefix(&[letter]))
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    };
    CopyOutError::Server {
        message: field(b'M'),
        sqlstate: field(b'C'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_is_taken_apart() {
        let error = server_error(b"SERROR\0VERROR\0C42P01\0Mrelation \"x\" does not exist\0\0");
        assert_eq!(
            error.to_string(),
            "the server refused: relation \"x\" does not exist (SQLSTATE 42P01)"
        );
        assert!(server_error(b"").to_string().contains("refused"));
    }
}
