//! The response stream of a session, and the task that feeds it.

use futures_util::Stream;
use provado_proto::agent::v1::SessionResponse;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;

/// Messages written but not yet sent.
const OUTBOUND_MAX: usize = 16;

/// How long a message may wait to be taken by the connection.
const SEND_WAIT: Duration = Duration::from_secs(30);

type Item = Result<SessionResponse, Status>;

/// Yields what the session writes. The session runs in a task of its own: an agent that takes no
/// messages stops the stream, but not a transaction that the session has begun. Dropped with the
/// connection, and the session with it.
pub struct SessionStream {
    outbound: mpsc::Receiver<Item>,
    _driver: JoinSet<()>,
}

impl fmt::Debug for SessionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStream").finish_non_exhaustive()
    }
}

impl SessionStream {
    /// A stream for the session that `drive` makes of the writing end. It begins at once.
    pub(super) fn new<F>(drive: impl FnOnce(Outbound) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, outbound) = mpsc::channel(OUTBOUND_MAX);
        let mut driver = JoinSet::new();
        driver.spawn(drive(Outbound {
            sender,
            sequence: 0,
        }));
        Self {
            outbound,
            _driver: driver,
        }
    }
}

impl Stream for SessionStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        // The session drops its sender when it ends, so that what it wrote comes first.
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

#[cfg(test)]
mod tests {
    use super::*;
    use provado_proto::agent::v1::RenewNow;
    use provado_proto::agent::v1::session_response::Message;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_session_goes_on_while_nobody_reads_and_ends_with_its_stream() {
        let (begun, has_begun) = oneshot::channel();
        let (alive, ended) = oneshot::channel::<()>();
        let stream = SessionStream::new(|mut outbound| async move {
            let _alive = alive;
            assert!(outbound.send(Message::RenewNow(RenewNow {})).await);
            tokio::task::yield_now().await;
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        let wait = Duration::from_secs(5);
        let went_on = tokio::time::timeout(wait, has_begun).await;
        went_on.expect("the session goes on by itself").unwrap();
        drop(stream);
        let ended = tokio::time::timeout(wait, ended).await;
        ended.expect("the session ends").unwrap_err();
    }
}
