//! The process of a module while there is one: waits for whatever happens next to it, and takes over what it prints meanwhile.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

use cutline_host::child::log::{Event, Stream};
use cutline_host::child::{Child, text_of};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixDatagram;
use tokio::select;
use tokio::time::{sleep, timeout};

use super::output::Output;
use super::protocol::FromModule;
use super::wire::Wire;

/// A process that prints faster than it is read waits so long.
const THROTTLE: Duration = Duration::from_millis(5);
/// Most of the last lines that are kept for a fault.
const LAST_LINES: usize = 5;
/// Longest message of `sd_notify` that is read, bytes.
const NOTIFY_MAX_BYTES: usize = 4096;

/// What happens next.
#[derive(Debug, PartialEq)]
pub enum Happened {
    /// It has said something.
    Said(FromModule),
    /// It does not keep to the protocol.
    Broke(String),
    /// It has said something by `sd_notify`.
    Notified(String),
    /// It is dead.
    Died,
}

/// See the module.
pub struct Alive {
    name: String,
    child: Child,
    death: AsyncFd<OwnedFd>,
    out: Option<AsyncFd<OwnedFd>>,
    err: Option<AsyncFd<OwnedFd>>,
    /// The socket that it inherited.
    pub wire: Wire,
    /// It has not closed its end.
    is_open: bool,
    notify: Option<NotifySocket>,
    output: Output,
    last_lines: VecDeque<String>,
}

impl Alive {
    /// Takes over a child that was started.
    pub fn new(name: &str, child: Child, wire: Wire, notify: Option<NotifySocket>, output: Output) -> io::Result<Self> {
        let [death, out, err] = watched_of(&child)?;
        let (out, err, last_lines) = (Some(out), Some(err), VecDeque::new());
        Ok(Self { name: name.to_owned(), child, death, out, err, wire, is_open: true, notify, output, last_lines })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it, and all that it has started, to end.
    pub fn terminate(&self) {
        self.child.terminate();
    }

    /// Kills it, and all that it has started.
    pub fn kill(&self) {
        self.child.kill();
    }

    /// Waits for what happens next. May be dropped while it waits, and asked again.
    pub async fn next(&mut self) -> Happened {
        loop {
            select! {
                said = self.wire.next(), if self.is_open => if let Some(happened) = self.heard(said) {
                    return happened;
                },
                text = NotifySocket::next(&mut self.notify) => return Happened::Notified(text),
                () = readable(&self.out), if !self.child.floods => self.read(),
                () = readable(&self.err), if !self.child.floods => self.read(),
                () = sleep(THROTTLE), if self.child.floods => self.read(),
                _ = self.death.readable() => break,
            }
        }
        // What it has said before it died comes first. What it has started may hold the socket open.
        let said = if self.is_open { timeout(Duration::ZERO, self.wire.next()).await.ok() } else { None };
        said.and_then(|said| self.heard(said)).unwrap_or(Happened::Died)
    }

    /// What came over the wire; `None`: its end.
    fn heard(&mut self, said: Option<Result<FromModule, String>>) -> Option<Happened> {
        self.is_open = matches!(said, Some(Ok(_)));
        Some(match said? {
            Ok(said) => Happened::Said(said),
            Err(fault) => Happened::Broke(fault),
        })
    }

    /// It is dead: takes everything of it away, and says how it ended and what it printed last.
    pub fn bury(self) -> Buried {
        let Self { name, child, output, mut last_lines, .. } = self;
        let id = child.id();
        let status = child.bury(&mut |event| hand_on(&output, &name, id, &mut last_lines, event));
        let how = match &status {
            Ok(status) => text_of(*status),
            Err(fault) => format!("the system does not tell how: {fault}"),
        };
        Buried { how, last_lines: last_lines.into() }
    }

    fn read(&mut self) {
        let (output, name, id) = (&self.output, &self.name, self.child.id());
        let last_lines = &mut self.last_lines;
        self.child.read(&mut |event| hand_on(output, name, id, last_lines, event));
        if let Some(dropped) = self.child.allowance.over(std::time::Instant::now(), false) {
            hand_on(output, name, id, last_lines, Event::Dropped(dropped));
        }
        if self.child.has_ended(Stream::Out) {
            self.out = None;
        }
        if self.child.has_ended(Stream::Err) {
            self.err = None;
        }
    }
}

/// Its death, and its two streams.
fn watched_of(child: &Child) -> io::Result<[AsyncFd<OwnedFd>; 3]> {
    let all = [child.death()].into_iter().chain(child.streams());
    let watched = all.map(watched).collect::<io::Result<Vec<_>>>()?;
    watched.try_into().map_err(|_| io::Error::other("its output is not in pipes"))
}

/// A descriptor, as the runtime waits for it.
#[allow(deprecated)] // for types that do not own their descriptor, as these do; what replaces it is unsafe
pub fn watched(descriptor: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor.try_clone_to_owned()?, Interest::READABLE)
}

/// How a process ended.
pub struct Buried {
    how: String,
    last_lines: Vec<String>,
}

impl Buried {
    /// In a few words.
    pub fn how(&self) -> &str {
        &self.how
    }

    /// With what it printed last, for who has to find out why.
    pub fn with_last_lines(self, what: &str) -> String {
        let mut text = format!("{what}: {}", self.how);
        if !self.last_lines.is_empty() {
            text += &format!("; it printed last: {}", self.last_lines.join(" | "));
        }
        text
    }
}

/// Waits until there may be something to read. It is told once: whoever is told reads to the end, or knows by `floods` that there is more.
async fn readable(stream: &Option<AsyncFd<OwnedFd>>) {
    match stream {
        None => std::future::pending().await,
        Some(stream) => match stream.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => std::future::pending().await,
        },
    }
}

fn hand_on(output: &Output, name: &str, id: u32, last_lines: &mut VecDeque<String>, event: Event<'_>) {
    if let Event::Printed { text, .. } = event {
        while last_lines.len() >= LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(text.to_owned());
    }
    output.event(name, id, event);
}

/// Where a module says by `sd_notify` that it is ready: a socket with a name that nobody guesses, outside of any file system.
pub struct NotifySocket {
    socket: UnixDatagram,
    /// What the module finds in its environment.
    pub address: String,
}

impl NotifySocket {
    /// A new one.
    pub fn new(module: &str) -> io::Result<Self> {
        // The standard library seeds each of these from the operating system's randomness.
        let name = format!("cutline-{}-{module}-{:016x}", std::process::id(), RandomState::new().hash_one(0));
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
        let socket = std::os::unix::net::UnixDatagram::bind_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixDatagram::from_std(socket)?, address: format!("@{name}") })
    }

    async fn next(socket: &mut Option<Self>) -> String {
        let Some(Self { socket, .. }) = socket else { return std::future::pending().await };
        let mut text = [0; NOTIFY_MAX_BYTES];
        loop {
            if let Ok(len) = socket.recv(&mut text).await {
                return String::from_utf8_lossy(&text[..len]).into_owned();
            }
        }
    }
}
