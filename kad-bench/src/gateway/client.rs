//! HTTP clients with connections that stay.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kad_tokio::Bytes;
use tokio::net::TcpStream;

/// A connection that nobody has used for longer is not used any more.
const FRESH: Duration = Duration::from_secs(10);

/// Why there is no answer.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Connection = SendRequest<Full<Bytes>>;

/// Connections to one server that nobody uses now.
pub(super) struct Client {
    address: SocketAddr,
    idle: Mutex<Vec<(Instant, Connection)>>,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::default() }
    }

    /// Asks, and answers with status and body. `None`: the connection failed.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Bytes) -> Option<(u16, Bytes)> {
        self.try_ask(method, path, body).await.ok()
    }

    async fn try_ask(&self, method: &str, path: &str, body: Bytes) -> Result<(u16, Bytes), Error> {
        let mut connection = self.connection().await?;
        let request = Request::builder().method(method).uri(path).header("Host", "localhost").body(Full::new(body))?;
        let answer = connection.send_request(request).await?;
        let (status, body) = (answer.status().as_u16(), answer.into_body().collect().await?.to_bytes());
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), connection));
        Ok((status, body))
    }

    /// One that was used just now, or a new one: servers close connections that nobody uses.
    async fn connection(&self) -> Result<Connection, Error> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((used, mut connection)) = idle else { return self.connect().await };
            if used.elapsed() < FRESH && connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
