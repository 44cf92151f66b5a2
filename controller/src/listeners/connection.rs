//! One accepted connection: the bytes, and who is at its other end.

use super::crowd::Place;
use futures_util::future::BoxFuture;
use provado_identity::PeerCertificate;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Who is at the other end; in the extensions of every request of the connection.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// From where.
    pub address: SocketAddr,
    /// With which certificate, if any. Its chain was verified in the handshake.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// A connection past its handshake. It counts against the limits until it is dropped, and is cut
/// off when its end comes: the listener is closed for good, or its peer is no longer welcome.
pub(super) struct Connection {
    io: TlsStream<TcpStream>,
    peer: PeerInfo,
    end: Option<BoxFuture<'static, ()>>,
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection of this peer.
    pub(super) fn new(
        io: TlsStream<TcpStream>,
        peer: PeerInfo,
        end: BoxFuture<'static, ()>,
        (permit, place): (OwnedSemaphorePermit, Place),
    ) -> Self {
        Self {
            io,
            peer,
            end: Some(end),
            _permit: permit,
            _place: place,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ended = match &mut self.end {
            Some(end) => end.as_mut().poll(cx).is_ready(),
            None => true,
        };
        if ended {
            self.end = None;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
