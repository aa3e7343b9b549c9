//! The socket between the supervisor and one module: lines of the module protocol, bounded in length, and never waited for without end.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{FromModule, LINE_MAX_BYTES, ToModule};

/// How long a module may leave a line unread for which there is no room any more.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of one read.
const CHUNK_BYTES: usize = 4 * 1024;

/// See the module.
pub struct Wire {
    stream: UnixStream,
    /// What came of lines that were not handed on.
    unread: Vec<u8>,
    /// How much of it has no end of line.
    searched: usize,
}

impl Wire {
    /// A new one, and the end that the module inherits.
    ///
    /// # Errors
    /// There is no socket.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        Ok((Self::over(ours)?, theirs.into()))
    }

    /// Over our end of a socket that is there already.
    ///
    /// # Errors
    /// The runtime cannot wait for it.
    pub fn over(ours: std::os::unix::net::UnixStream) -> io::Result<Self> {
        ours.set_nonblocking(true)?;
        Ok(Self { stream: UnixStream::from_std(ours)?, unread: Vec::new(), searched: 0 })
    }

    /// The next line, waiting for it; `None` once the module has closed its end. May be dropped while it waits, and asked again.
    ///
    /// # Errors
    /// What the module has sent is no line of the protocol. Nothing that comes after that is to be believed.
    pub async fn next(&mut self) -> Option<Result<FromModule, String>> {
        loop {
            if let Some(at) = self.unread[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.unread, rest);
                self.searched = 0;
                return Some(FromModule::read(&line[..line.len() - 1]));
            }
            self.searched = self.unread.len();
            if self.unread.len() > LINE_MAX_BYTES {
                return Some(Err(format!("it sent a line of more than {LINE_MAX_BYTES} bytes")));
            }
            if self.stream.readable().await.is_err() {
                return None;
            }
            let mut chunk = [0; CHUNK_BYTES];
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => self.unread.extend_from_slice(&chunk[..len]),
                Err(fault) if matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends a line. One that was sent in part makes the wire useless: then the module has to be ended.
    ///
    /// # Errors
    /// The module has closed its end, or does not read.
    pub async fn send(&mut self, message: &ToModule<'_>) -> Result<(), String> {
        let mut line = serde_json::to_vec(message).map_err(|fault| fault.to_string())?;
        if line.len() > LINE_MAX_BYTES {
            return Err(format!(
                "it would be a line of {} bytes, the module protocol has {LINE_MAX_BYTES} at most",
                line.len()
            ));
        }
        line.push(b'\n');
        match timeout(WRITE_TIMEOUT, self.stream.write_all(&line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err(format!("its socket does not take a line: {fault}")),
            Err(_) => Err(format!("it has not read its socket for {} ms", WRITE_TIMEOUT.as_millis())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Blocking;

    use super::*;

    fn with_wire<F: Future<Output = ()>>(test: impl FnOnce(Wire, Blocking) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (wire, theirs) = Wire::new().unwrap();
            test(wire, Blocking::from(theirs)).await;
        });
    }

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        with_wire(|mut wire, mut module| async move {
            module.write_all(b"{\"type\":\"ready\"}\n{\"type\":\"re").unwrap();
            assert_eq!(wire.next().await, Some(Ok(FromModule::Ready)));
            let waited = timeout(Duration::from_millis(1), wire.next()).await;
            assert!(waited.is_err(), "half a line is none");
            module.write_all(b"ady\"}\n").unwrap();
            assert_eq!(wire.next().await, Some(Ok(FromModule::Ready)), "and was not lost by that");
            drop(module);
            assert_eq!(wire.next().await, None);
        });
    }

    #[test]
    fn a_line_without_end_is_a_fault_and_takes_no_more_memory() {
        with_wire(|mut wire, mut module| async move {
            let writer = std::thread::spawn(move || module.write_all(&vec![b'x'; 4 * LINE_MAX_BYTES]));
            let fault = wire.next().await.unwrap().unwrap_err();
            assert!(fault.contains("more than 65536 bytes"), "{fault}");
            assert!(wire.unread.len() <= LINE_MAX_BYTES + CHUNK_BYTES);
            drop(wire);
            assert!(writer.join().unwrap().is_err());
        });
    }

    #[test]
    fn who_does_not_read_holds_up_nobody() {
        with_wire(|mut wire, mut module| async move {
            let config = serde_json::json!({"text": "x".repeat(LINE_MAX_BYTES / 2)});
            let mut sent = 0;
            let fault = loop {
                match wire.send(&ToModule::ConfigUpdate { id: 1, config: &config }).await {
                    Ok(()) => sent += 1,
                    Err(fault) => break fault,
                }
            };
            assert!(fault.contains("has not read") && sent > 0, "{fault}");
            let mut first = [0; 23];
            module.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"{\"type\":\"config_update\"");
        });
    }
}
