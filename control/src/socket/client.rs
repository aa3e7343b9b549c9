//! The other end of the control socket: what a command asks. Blocks the calling thread.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use cutline_journal::files::LIVE_LINK;
use serde_json::Value;

use super::SOCKET_NAME;
use super::request::{Answer, Request};
use crate::commands::Failure;

/// Longest answer, bytes: thousands of modules.
const ANSWER_MAX_BYTES: u64 = 16 << 20;

/// Asks the system of a data directory, and waits for its answer: `within` this time, or for as long as it takes.
///
/// # Errors
/// Nobody is there, it is refused, or it could not be done: the machine's refusal, with what to do.
pub fn ask(data: &Path, request: &Request, within: Option<Duration>) -> Result<Value, Failure> {
    let path = data.join(LIVE_LINK).join(SOCKET_NAME);
    let mut stream = UnixStream::connect(&path).map_err(|fault| Failure::machine(nobody(data, &path, &fault)))?;
    let answer = exchange(&mut stream, request, within).map_err(|fault| {
        Failure::machine(format!("{}: {fault}: what was asked for may be done all the same", path.display()))
    })?;
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::Failed(text) => Err(Failure::machine(format!("{}: {text}", request.name()))),
        Answer::Refused(text) => Err(Failure::machine(format!("{} is refused: {text}", request.name()))),
    }
}

fn nobody(data: &Path, path: &Path, fault: &io::Error) -> String {
    let what = match fault.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("no system runs in {}: start it with `cutline run`", data.display())
        }
        ErrorKind::PermissionDenied => "this user may not connect: see control.mode".to_owned(),
        _ => fault.to_string(),
    };
    format!("{}: {what}", path.display())
}

fn exchange(stream: &mut UnixStream, request: &Request, within: Option<Duration>) -> io::Result<Answer> {
    stream.set_read_timeout(within)?;
    stream.set_write_timeout(within)?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_MAX_BYTES)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "it hung up without an answer"));
    }
    Ok(serde_json::from_slice(&answer)?)
}
