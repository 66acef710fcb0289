//! Sockets that a service manager opened for this daemon (sd_listen_fds(3)). It keeps them while the daemon is restarted, so
//! that datagrams and connections queue meanwhile.
//!
//! The only file of this program with `unsafe` code: the system names these sockets by number, and that a number is ours to close
//! is a promise that no library can check.

use std::net::{TcpListener, UdpSocket};

use crate::error::Failure;

/// The sockets. Without any the daemon opens its own.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// UDP sockets of the node: one, or one for each worker.
    pub(crate) udp: Vec<UdpSocket>,
    /// The listener of the HTTP server.
    pub(crate) http: Option<TcpListener>,
}

impl Inherited {
    /// Takes the sockets; works once.
    ///
    /// # Errors
    /// [`Failure::Setting`] for sockets that a daemon cannot use, [`Failure::System`] if they are missing.
    #[cfg(target_os = "linux")]
    pub(crate) fn take() -> Result<Self, Failure> {
        use rustix::net::{SocketType, sockopt::socket_type};
        let mut inherited = Self::default();
        for number in sd_notify::listen_fds().map_err(Failure::System)? {
            let socket = own(number);
            match socket_type(&socket) {
                Ok(SocketType::DGRAM) => inherited.udp.push(socket.into()),
                Ok(SocketType::STREAM) if inherited.http.is_none() => inherited.http = Some(socket.into()),
                _ => {
                    let wanted = "a daemon accepts UDP sockets (ListenDatagram=) and one TCP socket (ListenStream=)";
                    return Err(Failure::Setting(format!("file {number} of the service manager: {wanted}")));
                }
            }
        }
        Ok(inherited)
    }

    /// There are none on this system.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn take() -> Result<Self, Failure> {
        Ok(Self::default())
    }
}

/// Returns the file of a number that the service manager gave to this process.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "see the top of this file")]
fn own(number: std::os::fd::RawFd) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd as _;
    // SAFETY: the environment says that these files are for this process (LISTEN_PID), and they were seen to be open. Each is
    // taken once, before there are other threads, by the only place that reads LISTEN_FDS.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(number) }
}
