//! A network that fails: takes TCP connections for a Unix socket behind it, and hands on what both sides say as its mode is by then.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks at sockets and mode.
const LOOK: Duration = Duration::from_millis(1);

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Its work.
    Pass,
    /// The same, each piece so much later.
    Delay(Duration),
    /// Nothing comes through either way until it does again.
    Drop,
    /// What stands behind it is gone, and nobody is told.
    HalfOpen,
    /// Connections are reset.
    Reset,
    /// The next one is, and then it passes.
    ResetOnce,
    /// Nobody listens.
    Refuse,
}

/// What stands behind it.
#[derive(Clone)]
pub enum Behind {
    Unix(String),
    Tcp(String),
}

/// See the module.
pub struct Proxy {
    /// Where it listens.
    pub address: String,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    mode: Mutex<Mode>,
    /// Connections that were taken.
    taken: AtomicU64,
    over: AtomicBool,
}

impl State {
    fn mode(&self) -> Mode {
        *self.mode.lock().expect("not poisoned")
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

impl Proxy {
    /// Begins, and passes.
    pub fn start(behind: Behind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let state =
            Arc::new(State { mode: Mutex::new(Mode::Pass), taken: AtomicU64::new(0), over: AtomicBool::new(false) });
        let (own, at) = (Arc::clone(&state), address.clone());
        let thread = thread::spawn(move || listen(listener, &at, &behind, &own));
        Self { address, state, thread: Some(thread) }
    }

    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().expect("not poisoned") = mode;
    }

    /// Connections that were taken so far.
    pub fn taken(&self) -> u64 {
        self.state.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        assert!(ended.is_ok() || thread::panicking(), "the proxy ends well");
    }
}

fn listen(listener: TcpListener, address: &str, behind: &Behind, state: &Arc<State>) {
    let open = |listener: TcpListener| {
        listener.set_nonblocking(true).expect("a socket");
        listener
    };
    let mut listener = Some(open(listener));
    let mut connections = Vec::new();
    while !state.is_over() {
        if state.mode() == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).ok().map(open);
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => {
                state.taken.fetch_add(1, Ordering::Relaxed);
                let (behind, state) = (behind.clone(), Arc::clone(state));
                connections.push(thread::spawn(move || drop(serve(client, &behind, &state))));
            }
            _ => thread::sleep(LOOK),
        }
    }
    connections.into_iter().for_each(|connection| connection.join().expect("a connection"));
}

/// One connection, until either side ends it. An error ends it as well.
fn serve(mut client: TcpStream, behind: &Behind, state: &State) -> io::Result<()> {
    client.set_nonblocking(true)?;
    let mut server: Box<dyn Stream> = match behind {
        Behind::Unix(path) => Box::new(UnixStream::connect(path)?),
        Behind::Tcp(address) => Box::new(TcpStream::connect(address)?),
    };
    server.do_not_block()?;
    let mut is_gone = false;
    while !state.is_over() {
        match state.mode() {
            Mode::Drop => {
                thread::sleep(LOOK);
                continue;
            }
            Mode::HalfOpen => is_gone = true,
            // Closed with something unread, which the kernel tells by a reset.
            Mode::Reset | Mode::ResetOnce if client.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) => {
                let mut mode = state.mode.lock().expect("not poisoned");
                if *mode == Mode::ResetOnce {
                    *mode = Mode::Pass;
                }
                return Ok(());
            }
            _ => {}
        }
        if is_gone {
            thread::sleep(LOOK);
            continue;
        }
        let there = hand_on(&mut client, &mut server, state)?;
        let back = hand_on(&mut server, &mut client, state)?;
        match (there, back) {
            (Some(0), _) | (_, Some(0)) => return Ok(()),
            (None, None) => thread::sleep(LOOK),
            _ => {}
        }
    }
    Ok(())
}

/// One piece, whenever it may be: how long it was; `None` if there was none.
fn hand_on(from: &mut impl Read, to: &mut impl Write, state: &State) -> io::Result<Option<usize>> {
    let mut piece = [0; 16 << 10];
    let length = match from.read(&mut piece) {
        Ok(length) => length,
        Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(fault) => return Err(fault),
    };
    if let Mode::Delay(by) = state.mode() {
        thread::sleep(by);
    }
    let mut left = &piece[..length];
    while !left.is_empty() && !state.is_over() {
        match to.write(left) {
            Ok(written) => left = &left[written..],
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Some(length))
}

trait Stream: Read + Write {
    fn do_not_block(&self) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn do_not_block(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl Stream for TcpStream {
    fn do_not_block(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}
