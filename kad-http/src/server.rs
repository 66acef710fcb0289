//! The listener and its connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use kad_tokio::{Dht, Key};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use crate::durable::Audits;
use crate::health::Reached;
use crate::locks::Locks;
use crate::metrics::{Counted, Counters};
use crate::router::router;
use crate::settings::{Changeable, Settings};
use crate::state::Context;

/// The pause after the system failed to accept a connection for lack of a resource. Each failure in a row doubles it.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A handle to a running server. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Context>);

impl Handle {
    /// Waits until no request is in progress. Requests with an incomplete head and event streams do not count.
    pub async fn answered(&self) {
        self.0.under_way.closed().await;
    }

    /// Changes settings. Open connections keep their CORS headers.
    pub fn change(&self, changeable: Changeable) {
        self.0.changeable.send_replace(changeable);
    }
}

/// An HTTP server for one node.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    context: Arc<Context>,
    /// Dropped when the server stops.
    running: watch::Sender<()>,
}

impl Server {
    /// Opens the listener. [`run`](Self::run) serves requests.
    ///
    /// # Errors
    /// The system's error if it refuses the address.
    pub async fn bind(address: SocketAddr, dht: Dht, settings: Settings) -> io::Result<Self> {
        Self::new(TcpListener::bind(address).await?, dht, settings)
    }

    /// Returns a server on an open listener.
    ///
    /// # Errors
    /// The system's error if the listener has no address.
    pub fn new(listener: TcpListener, dht: Dht, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (running, stopped) = watch::channel(());
        let changeable = Changeable {
            hosts: settings.hosts.clone(),
            origins: settings.origins.clone(),
            shown: settings.shown.clone(),
        };
        let context = Context {
            is_loopback: address.ip().to_canonical().is_loopback(),
            tokens: settings.tokens.iter().map(Key::hash).collect(),
            locks: Locks(settings.secret),
            watchers: Arc::new(Semaphore::new(settings.watchers)),
            audits: Audits::default(),
            reached: Reached::default(),
            counters: Counters::new(),
            running: stopped,
            under_way: watch::Sender::new(()),
            changeable: watch::Sender::new(changeable),
            dht,
            settings,
        };
        Ok(Self { listener, address, context: Arc::new(context), running })
    }

    /// Returns its address.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns a handle to the server.
    pub fn handle(&self) -> Handle {
        Handle(self.context.clone())
    }

    /// Serves requests until `stop` is ready. Then it accepts no more connections, ends event streams, and finishes requests
    /// in progress, within [`Settings::drain_timeout`].
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listener, context, running, .. } = self;
        let (places, graceful) = (Arc::new(Semaphore::new(context.settings.connections)), GracefulShutdown::new());
        let mut service = router(context.clone());
        let mut changed = context.changeable.subscribe();
        let drain = context.settings.drain_timeout;
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        let mut pause = PAUSE;
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &places, &context, pause) => accepted,
                Some(_) = connections.join_next() => continue,
                // The context holds the sender, so the channel is open.
                Ok(()) = changed.changed() => {
                    service = router(context.clone());
                    continue;
                }
                () = &mut stop => break,
            };
            match accepted {
                Some((stream, place)) => {
                    connections.spawn(serve(stream, place, service.clone(), &context, graceful.watcher()));
                    pause = PAUSE;
                }
                None => pause = (2 * pause).min(LONGEST_PAUSE),
            }
        }
        drop((listener, running));
        if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!(?drain, "some requests were not finished in time: closing their connections");
            connections.shutdown().await;
        }
    }
}

/// Accepts the next connection, once there is a slot for it. Returns `None` after a pause if the system fails.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    context: &Context,
    pause: Duration,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            context.counters.accept_errors.inc();
            tokio::time::sleep(pause).await;
            None
        }
    }
}

/// Serves the requests of one connection until it ends.
fn serve(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    service: Router,
    context: &Context,
    graceful: Watcher,
) -> impl Future<Output = ()> + use<> {
    // Small responses must not wait for acknowledgements. A failure only costs time.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(context.settings.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.settings.header_timeout)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service));
    let (connection, counted) = (graceful.watch(connection), Counted::new(&context.counters.connections));
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop((place, counted));
    }
}
