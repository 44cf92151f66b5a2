//! Accepting: a bound on connections, on handshakes at once, on those of one address, and on how
//! long one takes, its turn included.

use super::connection::{Connection, PeerInfo};
use super::crowd::{Crowd, Peer};
use super::identify::Door;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select};
use provado_identity::{PeerCertificate, TrustDomain};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Handshakes that run at once; each costs about a millisecond of a core.
const HANDSHAKES_MAX: usize = 64;
/// Connections of one address that are not past their handshake: whoever has no certificate holds
/// no more places than these, and gives each back when its handshake has taken too long.
const HANDSHAKES_EACH_MAX: u32 = 16;
/// How long a handshake may take, with the wait for its turn.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more sockets to give.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(200);
/// Connections that are past their handshake and not yet served.
const ACCEPTED_MAX: usize = 64;

/// What a connection must pass.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    /// The name of the listener in logs.
    pub(super) name: &'static str,
    /// The TLS configuration.
    pub(super) tls: Arc<ServerConfig>,
    /// In whose name identities stand.
    pub(super) trust_domain: TrustDomain,
    /// Connections that may be open at once.
    pub(super) connections_max: u32,
    /// Connections of each peer.
    pub(super) crowd: Arc<Crowd>,
    /// Tells how long a peer is welcome.
    pub(super) door: Arc<dyn Door>,
    /// No new connections any more.
    pub(super) stop: CancellationToken,
    /// No connections at all any more.
    pub(super) close: CancellationToken,
}

/// Accepts until told to stop; connections come out of the receiver past their handshake.
pub(super) fn accept(
    listener: TcpListener,
    gate: Gate,
    tasks: &mut JoinSet<()>,
) -> mpsc::Receiver<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
    tasks.spawn(run(listener, gate, sender));
    receiver
}

async fn run(listener: TcpListener, gate: Gate, sender: mpsc::Sender<io::Result<Connection>>) {
    let bound = usize::try_from(gate.connections_max).unwrap_or(Semaphore::MAX_PERMITS);
    let connections = Arc::new(Semaphore::new(bound.min(Semaphore::MAX_PERMITS)));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let strangers = Crowd::new(HANDSHAKES_EACH_MAX);
    let mut running = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = gate.stop.cancelled() => break,
            Some(_) = running.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("the listener for {} cannot accept: {error}", gate.name);
                // Out of file descriptors: trying at once would only burn a core.
                let _ = tokio::time::timeout(EXHAUSTED_WAIT, gate.stop.cancelled()).await;
                continue;
            }
        };
        let Some(stranger) = strangers.enter(Peer::of(address)) else {
            tracing::info!(
                peer.address = %address,
                "the listener for {} turns {address} away: it has {HANDSHAKES_EACH_MAX} \
                 connections that are not past their handshake",
                gate.name
            );
            continue;
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(
                peer.address = %address,
                connection.count_max = gate.connections_max,
                "the listener for {} has all its {} connections; {address} is turned away",
                gate.name,
                gate.connections_max
            );
            continue;
        };
        let (gate, sender) = (gate.clone(), sender.clone());
        let handshakes = Arc::clone(&handshakes);
        running.spawn(async move {
            let close = gate.close.clone();
            let name = gate.name;
            let greeted = tokio::time::timeout(HANDSHAKE_WAIT, async move {
                let _stranger = stranger;
                let _turn = handshakes.acquire_owned().await.map_err(io::Error::other)?;
                greet(socket, address, &gate, permit).await
            });
            tokio::select! {
                () = close.cancelled() => {}
                greeted = greeted => match greeted.unwrap_or_else(|_| Err(too_slow())) {
                    // A receiver that is gone serves nobody any more.
                    Ok(connection) => drop(sender.send(Ok(connection)).await),
                    Err(error) => tracing::info!(
                        peer.address = %address,
                        "{address} was refused by the listener for {name}: {error}"
                    ),
                },
            }
        });
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")
}

async fn greet(
    socket: TcpStream,
    address: SocketAddr,
    gate: &Gate,
    permit: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    // Commands are small and must not wait for more bytes to go with them.
    socket.set_nodelay(true)?;
    let acceptor = TlsAcceptor::from(Arc::clone(&gate.tls));
    let io = acceptor.accept(socket).await?;
    let leaf = io.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = leaf
        .map(|leaf| PeerCertificate::read(leaf, &gate.trust_domain))
        .transpose()
        .map_err(io::Error::other)?
        .map(Arc::new);
    let peer = PeerInfo {
        address,
        certificate,
    };
    let key = match &peer.certificate {
        Some(certificate) => Peer::Certificate(certificate.sha256),
        None => Peer::of(address),
    };
    let place = gate
        .crowd
        .enter(key)
        .ok_or_else(|| io::Error::other("it has as many connections as one may have"))?;
    let end = end_of(gate, &peer);
    Ok(Connection::new(io, peer, end, (permit, place)))
}

/// Completes when the connection is to be cut off.
fn end_of(gate: &Gate, peer: &PeerInfo) -> BoxFuture<'static, ()> {
    let closed = Box::pin(gate.close.clone().cancelled_owned());
    select(closed, gate.door.end(peer)).map(drop).boxed()
}
