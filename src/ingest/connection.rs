//! One open source of bytes with its framing: what to read from, what has been read, what is known about readiness.
//!
//! Owned by the ingest stage, on its lane. Reads are non-blocking for sockets and pipes; a regular file or a reader
//! blocks for as long as its own read takes. Never allocates after its splitter is made.

use std::{
    fs::File,
    io::{self, Read},
};

use mio::{
    Interest, Registry, Token,
    net::{TcpStream, UnixStream},
};

use super::{
    address::{Format, IngestSettings},
    buffer::Piece,
    fault::Cause,
    lines::LineSplitter,
    pipe::Pipe,
    records::RecordSplitter,
};

/// What bytes are read from.
pub(super) enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Pipe(Pipe),
    /// Always ready: a regular file or a reader.
    Plain(Box<dyn Read + Send>),
}

impl Io {
    /// A file that the kernel can report on becomes a pipe, any other is simply read.
    pub fn from_file(file: File, registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(match Pipe::watch(file, registry, token)? {
            Ok(pipe) => Self::Pipe(pipe),
            Err(file) => Self::Plain(Box::new(file)),
        })
    }

    /// Whether the kernel reports on it; if not, it is always ready.
    pub fn is_reported(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    pub fn is_socket(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// Asks for reports on a socket that was just made.
    pub fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.register(stream, token, interest),
            Self::Unix(stream) => registry.register(stream, token, interest),
            Self::Pipe(_) | Self::Plain(_) => Ok(()),
        }
    }

    /// Ends the reports. Needed for pipes, whose descriptor is a copy: the kernel would go on reporting on the original.
    pub fn deregister(&mut self, registry: &Registry) {
        // A failure means that it was not registered: nothing to end.
        let _ = match self {
            Self::Tcp(stream) => registry.deregister(stream),
            Self::Unix(stream) => registry.deregister(stream),
            Self::Pipe(pipe) => pipe.unwatch(registry),
            Self::Plain(_) => Ok(()),
        };
    }

    /// How a non-blocking connect came out; `None` = still under way.
    pub fn connected(&self) -> Option<io::Result<()>> {
        let (failed, peer) = match self {
            Self::Tcp(stream) => (stream.take_error(), stream.peer_addr().map(drop)),
            Self::Unix(stream) => (stream.take_error(), stream.peer_addr().map(drop)),
            Self::Pipe(_) | Self::Plain(_) => return Some(Ok(())),
        };
        match (failed, peer) {
            (Ok(Some(error)) | Err(error), _) => Some(Err(error)),
            (Ok(None), Err(error)) if error.kind() == io::ErrorKind::NotConnected => None,
            (Ok(None), peer) => Some(peer),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
            Self::Pipe(pipe) => pipe.read(into),
            Self::Plain(reader) => reader.read(into),
        }
    }
}

/// Lines or records, behind the same calls.
pub(super) enum Splitter {
    Lines(LineSplitter),
    Records(RecordSplitter),
}

impl Splitter {
    pub fn new(format: Format, settings: &IngestSettings) -> Self {
        let (line_max_bytes, read_max_bytes) = (settings.line_max_bytes, settings.read_buffer_bytes);
        match format {
            Format::Ndjson => Self::Lines(LineSplitter::new(line_max_bytes, read_max_bytes)),
            Format::Binary => Self::Records(RecordSplitter::new(line_max_bytes, read_max_bytes)),
        }
    }

    pub fn is_of(&self, format: Format) -> bool {
        matches!((self, format), (Self::Lines(_), Format::Ndjson) | (Self::Records(_), Format::Binary))
    }

    fn renewed(self) -> Self {
        match self {
            Self::Lines(lines) => Self::Lines(lines.renewed()),
            Self::Records(records) => Self::Records(records.renewed()),
        }
    }
}

/// Why no more bytes will be read.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// End of stream, or intake was stopped.
    End,
    /// A read failed.
    Failed(Cause),
    /// A record's length was broken; so many bytes were received from it on.
    Broken { bytes: u64 },
}

/// What one read brought.
pub(super) enum Received {
    /// So many bytes, possibly none; there may be more.
    Bytes(usize),
    /// Nothing until the kernel reports readiness.
    NotReady,
    /// Nothing ever again; `ending` is set and what is left over has become the last piece.
    Ended,
}

/// One open source of bytes.
pub(super) struct Connection {
    /// Index of its feed.
    pub feed: usize,
    pub io: Io,
    /// A connect is under way: nothing may be read yet.
    pub connecting: bool,
    /// The kernel has reported readiness and no read has denied it since.
    pub ready: bool,
    /// It waits for its turn.
    pub queued: bool,
    /// Set once no more bytes will be read.
    pub ending: Option<Ending>,
    splitter: Splitter,
}

impl Connection {
    pub fn new(feed: usize, io: Io, splitter: Splitter) -> Self {
        Self { feed, io, connecting: false, ready: false, queued: false, ending: None, splitter }
    }

    /// Closes what was read from; its splitter is for another stream.
    pub fn into_splitter(self) -> Splitter {
        self.splitter.renewed()
    }

    /// The next complete piece, the same one until it is consumed.
    pub fn peek(&mut self) -> Option<Piece<'_>> {
        match &mut self.splitter {
            Splitter::Lines(lines) => lines.peek(),
            Splitter::Records(records) => records.peek(),
        }
    }

    /// Drops the piece that `peek` returned. If it was the broken rest of a stream, that ends the connection.
    pub fn consume(&mut self) {
        match &mut self.splitter {
            Splitter::Lines(lines) => lines.consume(),
            Splitter::Records(records) => {
                if records.is_broken()
                    && let Some(piece) = records.peek()
                {
                    self.ending = Some(Ending::Broken { bytes: piece.true_len_bytes });
                }
                records.consume();
            }
        }
    }

    /// Reads no more: what is left over becomes the last piece.
    pub fn finish(&mut self, ending: Ending) {
        match &mut self.splitter {
            Splitter::Lines(lines) => lines.finish(),
            Splitter::Records(records) => records.finish(),
        }
        self.ready = false;
        self.ending.get_or_insert(ending);
    }

    /// Reads once. Only when `peek` has nothing, the connection is ready and has not ended.
    pub fn receive(&mut self, registry: &Registry, token: Token) -> Received {
        let space = match &mut self.splitter {
            Splitter::Lines(lines) => lines.space(),
            Splitter::Records(records) => records.space(),
        };
        assert!(!space.is_empty(), "a connection without a complete piece has room");
        match self.io.read(space) {
            Ok(0) => self.ended(Ending::End),
            Ok(bytes) => {
                match &mut self.splitter {
                    Splitter::Lines(lines) => lines.filled(bytes),
                    Splitter::Records(records) => records.filled(bytes),
                }
                match self.rearm(registry, token) {
                    Ok(()) => Received::Bytes(bytes),
                    Err(error) => self.ended(Ending::Failed(error.into())),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Bytes(0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.io {
                // Nobody reports on a reader: it is asked again next time.
                Io::Plain(_) => Received::Bytes(0),
                _ => {
                    self.ready = false;
                    Received::NotReady
                }
            },
            Err(error) => self.ended(Ending::Failed(error.into())),
        }
    }

    fn ended(&mut self, ending: Ending) -> Received {
        self.finish(ending);
        Received::Ended
    }

    /// A blocking pipe must not be read again before the kernel says so, and says so again only when asked again.
    fn rearm(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if let Io::Pipe(pipe) = &mut self.io {
            self.ready = false;
            pipe.rearm(registry, token)?;
        }
        Ok(())
    }
}
