//! The response stream of a session, and the future that feeds it.

use futures_util::Stream;
use futures_util::future::BoxFuture;
use provado_proto::agent::v1::SessionResponse;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;

/// Messages written but not yet sent.
const OUTBOUND_MAX: usize = 16;

/// How long a message may wait to be taken by the connection.
const SEND_WAIT: Duration = Duration::from_secs(30);

type Item = Result<SessionResponse, Status>;

/// Yields what the session writes, and drives the session while it is polled. Dropped with the
/// connection, and the session with it.
pub struct SessionStream {
    driver: Option<BoxFuture<'static, ()>>,
    outbound: mpsc::Receiver<Item>,
}

impl fmt::Debug for SessionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStream").finish_non_exhaustive()
    }
}

impl SessionStream {
    /// A stream for the session that `drive` makes of the writing end.
    pub(super) fn new(drive: impl FnOnce(Outbound) -> BoxFuture<'static, ()>) -> Self {
        let (sender, outbound) = mpsc::channel(OUTBOUND_MAX);
        let driver = drive(Outbound {
            sender,
            sequence: 0,
        });
        Self {
            driver: Some(driver),
            outbound,
        }
    }
}

impl Stream for SessionStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if let Some(driver) = self.driver.as_mut()
            && driver.as_mut().poll(cx).is_ready()
        {
            // Its sender is dropped with it, so that the receiver ends after what was written.
            self.driver = None;
        }
        self.outbound.poll_recv(cx)
    }
}

/// The writing end of a session's stream; numbers the messages.
#[derive(Debug)]
pub(super) struct Outbound {
    sender: mpsc::Sender<Item>,
    sequence: i64,
}

impl Outbound {
    /// Writes a message; false when nobody reads any more, or so slowly that it is the same.
    pub(super) async fn send(
        &mut self,
        message: provado_proto::agent::v1::session_response::Message,
    ) -> bool {
        self.sequence = self.sequence.saturating_add(1);
        let response = SessionResponse {
            sequence: self.sequence,
            message: Some(message),
        };
        let sent = tokio::time::timeout(SEND_WAIT, self.sender.send(Ok(response)));
        matches!(sent.await, Ok(Ok(())))
    }

    /// Ends the stream with an error.
    pub(super) async fn fail(&mut self, status: Status) {
        // Nobody reads any more: then nobody needs the reason either.
        let _ = tokio::time::timeout(SEND_WAIT, self.sender.send(Err(status))).await;
    }
}
