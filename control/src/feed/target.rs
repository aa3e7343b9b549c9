//! The connection to a running Cutline: made within a time, and written to without being waited for longer than a moment.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longest time until somebody answers.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Longest time that a write waits to be taken.
pub const WRITE_WAITS: Duration = Duration::from_millis(50);

/// Where Cutline listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `tcp:HOST:PORT`
    Tcp(String),
    /// `unix:PATH`
    Unix(PathBuf),
}

/// A connection.
pub enum Connection {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Target {
    /// Of what the command line says.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let has_port = |address: &str| {
            let (host, port) = address.rsplit_once(':').unwrap_or_default();
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        match (text.strip_prefix("tcp:"), text.strip_prefix("unix:")) {
            (Some(address), _) if has_port(address) => Ok(Self::Tcp(address.to_owned())),
            (_, Some(path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => Err("give tcp:HOST:PORT or unix:PATH, where a [[feed]] listens".to_owned()),
        }
    }

    /// Connects.
    pub fn connect(&self) -> io::Result<Connection> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(WRITE_WAITS))?;
                Ok(Connection::Unix(stream))
            }
            Self::Tcp(address) => {
                let mut fault = io::Error::from(ErrorKind::NotFound);
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            stream.set_write_timeout(Some(WRITE_WAITS))?;
                            return Ok(Connection::Tcp(stream));
                        }
                        Err(refused) => fault = refused,
                    }
                }
                Err(fault)
            }
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Connection {
    /// Writes what is taken within a moment; nothing taken is an error of kind `WouldBlock`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// Whether the other end is there, as far as is known: it never says anything, so that anything but silence is its end.
    pub fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let heard = match self {
            Self::Tcp(stream) => stream.set_nonblocking(true).and_then(|()| {
                let heard = stream.read(&mut byte);
                stream.set_nonblocking(false).and(heard)
            }),
            Self::Unix(stream) => stream.set_nonblocking(true).and_then(|()| {
                let heard = stream.read(&mut byte);
                stream.set_nonblocking(false).and(heard)
            }),
        };
        matches!(heard, Err(fault) if fault.kind() == ErrorKind::WouldBlock)
    }

    /// Whether the other end is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.peer_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback()),
            Self::Unix(_) => true,
        }
    }

    /// Says that nothing more comes; what was written is still delivered. Whether the other end has closed within that time, which it does
    /// when it has read everything: who closes before that resets the connection.
    pub fn finish(self, within: Duration) -> bool {
        let (within, mut byte) = (within.max(Duration::from_millis(1)), [0]);
        let heard = match self {
            Self::Tcp(mut stream) => stream
                .shutdown(Shutdown::Write)
                .and_then(|()| stream.set_read_timeout(Some(within)))
                .and_then(|()| stream.read(&mut byte)),
            Self::Unix(mut stream) => stream
                .shutdown(Shutdown::Write)
                .and_then(|()| stream.set_read_timeout(Some(within)))
                .and_then(|()| stream.read(&mut byte)),
        };
        matches!(heard, Ok(0))
    }
}
