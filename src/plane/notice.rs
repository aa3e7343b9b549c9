//! What lanes tell the cold path besides numbers: rare, bounded, and never waited for.

use cutline_journal::LogFault;

use crate::ingest::IngestFault;

/// Most notices of one stage that wait for the cold path; further ones are dropped and counted.
const NOTICES_MAX: usize = 1024;

/// Something a person may have to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A feed failed.
    Feed(IngestFault),
    /// A stage cannot read what the pipeline itself has logged. It stands still and tries again; nothing is lost.
    Unreadable {
        /// The stage.
        stage: &'static str,
        /// The fault.
        fault: String,
    },
    /// It could, the next time.
    Readable {
        /// The stage.
        stage: &'static str,
    },
    /// An invoke stage has no engine that takes calls.
    EngineGone {
        /// The stage.
        stage: &'static str,
    },
    /// It has one again.
    EngineBack {
        /// The stage.
        stage: &'static str,
    },
}

/// The lane's end.
pub struct Notifier {
    notices: rtrb::Producer<Notice>,
    /// The stage stands still for a fault that was told.
    unreadable: bool,
    /// Notices dropped because the cold path took none.
    pub dropped: u64,
}

/// A notifier, and where its notices come out.
#[must_use]
pub fn channel() -> (Notifier, rtrb::Consumer<Notice>) {
    let (notices, out) = rtrb::RingBuffer::new(NOTICES_MAX);
    (Notifier { notices, unreadable: false, dropped: 0 }, out)
}

impl Notifier {
    /// Tells the cold path.
    pub fn tell(&mut self, notice: Notice) {
        self.dropped += u64::from(self.notices.push(notice).is_err());
    }

    /// Tells when a stage cannot read its logs, and when it can again; repeats nothing.
    pub fn logs_read(&mut self, stage: &'static str, read: Result<(), &LogFault>) {
        match read {
            Err(fault) if !self.unreadable => self.tell(Notice::Unreadable { stage, fault: fault.to_string() }),
            Ok(()) if self.unreadable => self.tell(Notice::Readable { stage }),
            _ => {}
        }
        self.unreadable = read.is_err();
    }
}
