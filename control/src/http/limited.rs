//! A listener with so many connections at a time and no more, each of which ends after a time: a client that sends slowly, reads slowly or
//! not at all holds up nobody for long. Those beyond the number wait in the kernel.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cutline::config::HttpListen;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use crate::doors::Door;

/// Between two tries where the system has no room for another connection.
const RETRY: Duration = Duration::from_millis(100);
/// Whoever may use a Unix socket for HTTP is a matter of its folder.
const UNIX_MODE: u32 = 0o666;

/// See the module.
pub struct Limited {
    listener: Listener,
    permits: Arc<Semaphore>,
    lifetime: Duration,
    served: watch::Receiver<()>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Door),
}

/// Where it listens, for people: with the port that was chosen for port 0.
#[derive(Clone, Debug)]
pub struct Address(String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Limited {
    /// Listens there, for as long as somebody has the other end of `served`: no connection outlives that. Inside of a runtime.
    ///
    /// # Errors
    /// The address is taken, or the system refuses.
    pub fn bind(
        listen: &HttpListen,
        connections_max: u32,
        lifetime: Duration,
        served: watch::Receiver<()>,
    ) -> io::Result<Self> {
        let listener = match listen {
            HttpListen::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?)
            }
            HttpListen::Unix(path) => {
                let (door, listener) = Door::open(path, UNIX_MODE)?;
                Listener::Unix(UnixListener::from_std(listener)?, door)
            }
        };
        Ok(Self { listener, permits: Arc::new(Semaphore::new(connections_max as usize)), lifetime, served })
    }

    /// Where it listens.
    pub fn address(&self) -> Address {
        Address(match &self.listener {
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|fault| fault.to_string(), |address| format!("http://{address}"))
            }
            Listener::Unix(_, door) => format!("unix:{}", door.path().display()),
        })
    }

    async fn connection(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.listener {
            Listener::Tcp(listener) => Box::new(listener.accept().await?.0),
            Listener::Unix(listener, _) => Box::new(listener.accept().await?.0),
        })
    }
}

impl axum::serve::Listener for Limited {
    type Io = Mortal;
    type Addr = Address;

    async fn accept(&mut self) -> (Mortal, Address) {
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            // Nobody closes the semaphore.
            let Ok(permit) = permit else { std::future::pending().await };
            match self.connection().await {
                Ok(stream) => {
                    let (lifetime, mut served) = (self.lifetime, self.served.clone());
                    let end = Box::pin(async move {
                        select! {
                            () = sleep(lifetime) => (),
                            // Nothing is ever sent: whoever served it is gone.
                            _ = served.changed() => (),
                        }
                    });
                    return (Mortal { stream, end, is_over: false, _permit: permit }, self.address());
                }
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.address())
    }
}

/// What a connection is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that fails once its time is over, or nobody serves it any more.
pub struct Mortal {
    stream: Box<dyn Stream>,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Mortal {
    /// Also has the task woken at the end.
    fn is_over(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        // What has ended must not be polled again.
        self.is_over = self.is_over || self.end.as_mut().poll(cx).is_ready();
        if self.is_over {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the connection's time is over"));
        }
        Ok(())
    }
}

impl AsyncRead for Mortal {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.is_over(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.is_over(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_over(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
