//! Our log as a way between two processes: each side appends to one of its own and follows the other's. Every frame is
//! checksummed when it is written and checked when it is read. The logs hold everything that is sent, as they are there to.

use std::path::{Path, PathBuf};

use cutline_journal::keeper::LogKeeper;
use cutline_journal::{Appender, Descriptor, Start, Tail};

use super::{Link, Message, Side, Spec};
use crate::bench::place::{Segments, open_log};
use crate::commands::{Failure, cannot};
use crate::drive::{Receiver, Sender, WRONG};

/// The logs' name. Any of the three would do.
const LOG: &str = "outputs";

pub struct Log {
    tx: LogTx,
    receive_on: PathBuf,
}

pub struct LogTx {
    log: Appender,
    _keeper: LogKeeper,
    message: Message,
}

pub struct LogRx(Tail);

/// The folders of one direction's log.
fn folders(folder: &Path, direction: &str) -> [PathBuf; 2] {
    ["data", "live"].map(|part| folder.join(format!("{direction}-{part}")))
}

impl Link for Log {
    const NAME: &str = "cutline";
    type Tx = LogTx;
    type Rx = LogRx;

    fn open(side: Side, spec: &Spec) -> Result<Self, Failure> {
        let [send_on, receive_on] = side.names();
        let [data, live] = folders(&spec.folder, send_on);
        for folder in [&data, &live] {
            std::fs::create_dir(folder).map_err(cannot("create folder", folder))?;
        }
        let messages = spec.round_trips + if side == Side::Near { spec.stream } else { 0 };
        let bytes = messages * Descriptor::frame_bytes(spec.payload) as u64;
        let (log, keeper) = open_log(&data, &live, LOG, Segments::to_hold(bytes))?;
        let [receive_on, _] = folders(&spec.folder, receive_on);
        Ok(Self { tx: LogTx { log, _keeper: keeper, message: Message::new(spec.payload) }, receive_on })
    }

    fn connect(self) -> Result<(LogTx, LogRx), Failure> {
        let tail = Tail::open(&self.receive_on, LOG, Start::Oldest).map_err(Failure::reading)?;
        Ok((self.tx, LogRx(tail)))
    }
}

impl Sender for LogTx {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        let header = Descriptor { kind: 1, ..Descriptor::default() };
        self.log.append(header, self.message.numbered(seq)).is_ok()
    }
}

impl Receiver for LogRx {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        match self.0.poll() {
            Ok(frame) => frame.map(|frame| Message::number(frame.payload)),
            Err(_) => Some(WRONG),
        }
    }
}
