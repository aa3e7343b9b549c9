//! The supervisor: which modules there are, in which order they start and stop, and in what state each of them is. On the control thread,
//! outside of the hot path; it never touches a lane.
//!
//! ```text
//! cutline run ── run ──► lifecycle ──orders──► seat (one task a module) ──► body: plane, own part, or child process
//!                          ▲                     │        │
//!   recovery, socket ─ ask ┘                     ▼        ▼
//!                                            registry    bus
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`modules`] | which modules a configuration has |
//! | [`graph`] | who must be ready before whom |
//! | [`fault`] | why the system does not start |
//! | [`body`] | what a module is made of, behind one trait: [`plane`] is one, a [`part`] of this program another |
//! | [`lifecycle`] | what starts and stops when, and what is asked for |
//! | [`seat`] | the task of one module: starts it, lives with it, stops it |
//! | [`registry`] | the state of every module, for whoever wants to know |
//! | [`ask`] | what recovery, configuration and the control socket ask for |
//! | [`context`] | what every task of the control thread is given |
//! | [`settings`] | hands modules their configuration as it changes |
//! | [`herald`], [`service`] | what people, and the service manager, are told |
//! | [`cores`] | keeps all of it off the lanes' cores |
//! | [`run`](mod@run) | the whole of `cutline run` |

pub mod ask;
pub mod body;
pub mod context;
mod cores;
pub mod fault;
pub mod graph;
mod herald;
mod lifecycle;
pub mod modules;
pub mod part;
mod plane;
pub mod registry;
mod run;
mod seat;
pub mod service;
mod settings;

pub use run::run;
