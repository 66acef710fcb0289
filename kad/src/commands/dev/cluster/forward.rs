//! Forwards HTTP from this machine's loopback to that of a host, independent of partitions between hosts.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use kad_netns::Host;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::error::Failure;

/// Forwards connections for as long as this process lives. Returns the address to connect to.
pub(super) async fn start(host: Arc<Host>, to: SocketAddr) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Failure::System)?;
    let address = listener.local_addr().map_err(Failure::System)?;
    tokio::spawn(async move {
        // When the system has no more files, the client's connection fails.
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass_on(client, host.clone(), to));
        }
    });
    Ok(address)
}

/// Forwards one connection. If nothing listens there, the client's connection ends.
async fn pass_on(mut client: TcpStream, host: Arc<Host>, to: SocketAddr) {
    let connected = tokio::task::spawn_blocking(move || {
        let stream = host.connect(to).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(stream)
    });
    let Some(stream) = connected.await.ok().flatten() else { return };
    let Ok(mut server) = TcpStream::from_std(stream) else { return };
    // Small responses must not wait for acknowledgements. A failure only costs time.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
