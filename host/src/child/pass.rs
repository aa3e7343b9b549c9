//! A descriptor on its way to a child: it lies in the socket that the child gets as standard input, with one byte, before anything else.
//!
//! [`pass`] is called by whoever starts the child, before it does; [`take`] by the launcher, once. Neither waits for the other: what was
//! passed is in the socket by then, and goes with it if nobody takes it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// The byte that the descriptor comes with: a stream carries none without.
const WITH: u8 = 0;

/// Puts a descriptor into a socket, for whoever has its other end.
///
/// # Errors
/// The socket does not take it.
pub fn pass(socket: impl AsFd, passed: &OwnedFd) -> io::Result<()> {
    let passed = [passed.as_fd()];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&passed)) {
        return Err(io::Error::other("there is no room for a descriptor"));
    }
    sendmsg(socket, &[IoSlice::new(&[WITH])], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes the descriptor out of a socket, to be closed when a program is executed; what comes behind it stays there.
///
/// # Errors
/// Nothing was passed.
pub fn take(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut with = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut with)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let passed = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    });
    passed.ok_or_else(|| io::Error::other("none came with it"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_was_passed_is_taken_once_and_what_was_written_behind_it_is_left() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        pass(&ours, &writer.into()).unwrap();
        ours.write_all(b"welcome").unwrap();
        let taken = take(&theirs).unwrap();
        let flags = rustix::io::fcntl_getfd(&taken).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "nobody else inherits it");
        let mut welcome = [0; 7];
        theirs.read_exact(&mut welcome).unwrap();
        assert_eq!(&welcome, b"welcome");
        std::io::PipeWriter::from(taken).write_all(b"to the pipe").unwrap();
        let mut text = String::new();
        // It ends, because there is no other writer any more.
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "to the pipe");
    }

    #[test]
    fn where_nothing_was_passed_there_is_a_fault() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"x").unwrap();
        assert!(take(&theirs).unwrap_err().to_string().contains("none came"));
        drop(ours);
        assert!(take(&theirs).is_err(), "nor at its end");
    }
}
