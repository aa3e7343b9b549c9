//! The ingest stage against real sockets, files and pipes. Pipeline time is virtual; real time only bounds the waiting.

mod drafts;
mod endings;
mod faults;
mod framing;
mod pressure;
mod reconnect;
mod rig;
