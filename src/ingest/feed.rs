//! One feed: how it is opened, its listener or its reconnects, and the state it is in.
//!
//! Owned by the ingest stage, on its lane. It decides and keeps the state; connections and faults are the stage's.

use std::{fs::File, io, net::SocketAddr, os::fd::AsFd, path::PathBuf};

use mio::{
    Interest, Registry, Token,
    net::{TcpStream, UnixStream},
};

use super::{
    address::{FeedAddress, FeedSettings, Format},
    connection::Io,
    fault::{Cause, FeedLabel},
    listener::Listener,
    retry::{Retry, RetrySettings},
};

/// What a feed is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedState {
    /// Accepting connections.
    Listening {
        /// Connections open now.
        connections: u32,
    },
    /// A call is under way or due.
    Connecting,
    /// Connected, or reading its file.
    Connected,
    /// Not delivering.
    Down {
        /// Calls that failed in a row.
        attempts: u32,
        /// When the next one is made, pipeline time; `None` = given up.
        next_retry_ns: Option<i64>,
        /// Why the last one failed.
        cause: Cause,
    },
    /// Read to its end, and everything in it handed on.
    Exhausted,
    /// Intake was stopped.
    Stopped,
}

/// Where to call.
#[derive(Debug)]
enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Role {
    Listen(Listener),
    Connect(Peer),
    Read,
}

/// One feed of the stage.
#[derive(Debug)]
pub(super) struct Feed {
    pub label: FeedLabel,
    pub format: Format,
    pub state: FeedState,
    /// The kernel has reported connections and no accept has denied it since.
    pub accept_ready: bool,
    /// Accepted connections open now.
    open: u32,
    ever_connected: bool,
    role: Role,
    /// When to call or accept again, pipeline time; `None` = no call is due.
    due_ns: Option<i64>,
    retry: Retry,
}

impl Feed {
    /// Opens the feed under `token`. A feed that reads also returns what it reads from.
    pub fn open(
        settings: FeedSettings,
        retry: RetrySettings,
        registry: &Registry,
        token: Token,
    ) -> Result<(Self, Option<Io>), (FeedLabel, io::Error)> {
        let mut label = FeedLabel { name: settings.name.into(), address: settings.source.to_string().into() };
        let opened = Self::open_source(settings.source, registry, token);
        let (role, io) = match opened {
            Ok(opened) => opened,
            Err(error) => return Err((label, error)),
        };
        let (state, due_ns) = match &role {
            Role::Listen(listener) => {
                if let Some(address) = listener.tcp_address() {
                    label.address = format!("tcp {address}").into();
                }
                (FeedState::Listening { connections: 0 }, None)
            }
            Role::Connect(_) => (FeedState::Connecting, Some(i64::MIN)),
            Role::Read => (FeedState::Connected, None),
        };
        let feed = Self {
            label,
            format: settings.format,
            state,
            // Connections may wait already: the first look costs one accept.
            accept_ready: matches!(role, Role::Listen(_)),
            open: 0,
            ever_connected: false,
            role,
            due_ns,
            retry: Retry::new(retry),
        };
        Ok((feed, io))
    }

    fn open_source(source: FeedAddress, registry: &Registry, token: Token) -> io::Result<(Role, Option<Io>)> {
        let listening = |mut listener: Listener| {
            listener.register(registry, token)?;
            Ok((Role::Listen(listener), None))
        };
        match source {
            FeedAddress::TcpListen(address) => listening(Listener::tcp(address)?),
            FeedAddress::UnixListen(path) => listening(Listener::unix(&path)?),
            FeedAddress::TcpConnect(address) => Ok((Role::Connect(Peer::Tcp(address)), None)),
            FeedAddress::UnixConnect(path) => Ok((Role::Connect(Peer::Unix(path)), None)),
            FeedAddress::File(path) => {
                let file = File::open(path)?;
                if file.metadata()?.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                Ok((Role::Read, Some(Io::from_file(file, registry, token)?)))
            }
            FeedAddress::Stdin => {
                // A copy of the descriptor, without the standard library's buffer and lock in between.
                let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
                Ok((Role::Read, Some(Io::from_file(file, registry, token)?)))
            }
            FeedAddress::Reader(reader) => Ok((Role::Read, Some(Io::Plain(reader)))),
        }
    }

    pub fn listener(&self) -> Option<&Listener> {
        match &self.role {
            Role::Listen(listener) => Some(listener),
            Role::Connect(_) | Role::Read => None,
        }
    }

    pub fn connects(&self) -> bool {
        matches!(self.role, Role::Connect(_))
    }

    /// A reader that will bring nothing more, at its end or failed for good.
    pub fn is_over(&self) -> bool {
        matches!(self.role, Role::Read)
            && matches!(self.state, FeedState::Exhausted | FeedState::Down { next_retry_ns: None, .. })
    }

    /// True once per due call or accept.
    pub fn take_due(&mut self, now_ns: i64) -> bool {
        let due = self.due_ns.is_some_and(|due_ns| due_ns <= now_ns);
        if due {
            self.due_ns = None;
        }
        due
    }

    /// Starts a non-blocking call.
    pub fn call(&mut self, registry: &Registry, token: Token) -> io::Result<Io> {
        self.state = FeedState::Connecting;
        let mut io = match &self.role {
            Role::Connect(Peer::Tcp(address)) => Io::Tcp(TcpStream::connect(*address)?),
            Role::Connect(Peer::Unix(path)) => Io::Unix(UnixStream::connect(path)?),
            Role::Listen(_) | Role::Read => return Err(io::ErrorKind::Unsupported.into()),
        };
        io.register(registry, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(io)
    }

    /// A call or accept failed, or a connection that was called for was lost, which counts as the first failed call of
    /// a new series: so a server that accepts and hangs up at once is not called in a tight loop.
    /// Returns when the next one is due.
    pub fn failed(&mut self, cause: Cause, now_ns: i64) -> Option<i64> {
        let delay_ms = self.retry.failed();
        self.due_ns =
            delay_ms.map(|ms| now_ns.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)));
        self.state = FeedState::Down { attempts: self.retry.failed_calls(), next_retry_ns: self.due_ns, cause };
        self.due_ns
    }

    /// Calls that failed in a row.
    pub fn attempts(&self) -> u32 {
        self.retry.failed_calls()
    }

    /// A call succeeded; true if it was not the feed's first.
    pub fn connected(&mut self) -> bool {
        self.retry.reset();
        self.state = FeedState::Connected;
        std::mem::replace(&mut self.ever_connected, true)
    }

    /// Accepting works: a connection came, or none was waiting.
    pub fn accepting(&mut self, accepted: bool) {
        self.retry.reset();
        self.open += u32::from(accepted);
        self.state = FeedState::Listening { connections: self.open };
    }

    /// An accepted connection was closed.
    pub fn accepted_closed(&mut self) {
        self.open -= 1;
        if let FeedState::Listening { connections } = &mut self.state {
            *connections = self.open;
        }
    }

    /// A listener with connections waiting that is not itself waiting to try again.
    pub fn may_accept(&self) -> bool {
        self.accept_ready && self.due_ns.is_none()
    }

    /// Reading ended for good.
    pub fn given_up(&mut self, cause: Cause) {
        self.state = FeedState::Down { attempts: 1, next_retry_ns: None, cause };
    }

    /// Accepts and calls no more; a listening socket is closed.
    pub fn stop(&mut self) {
        self.due_ns = None;
        self.accept_ready = false;
        if !matches!(self.state, FeedState::Exhausted) {
            self.state = FeedState::Stopped;
        }
        if matches!(self.role, Role::Listen(_)) {
            // Dropping it closes the socket, which also ends its reports, and removes a socket file.
            self.role = Role::Read;
        }
    }
}
