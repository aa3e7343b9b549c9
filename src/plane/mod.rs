//! What holds the stages together: their contract, the topology, a pipeline
//! assembled on logs, and the lanes that run it.

pub mod assembly;
pub mod backlog;
pub mod by_source;
pub mod change;
pub mod checkpoint;
pub mod checkpointer;
pub mod clock;
mod cold;
pub mod counters;
pub mod cycles;
pub mod fault;
pub mod flight;
pub mod gate;
pub mod given_time;
pub mod handover;
pub mod known;
pub mod lane;
pub mod levers;
mod lost;
pub mod machine;
pub mod notice;
pub mod observe;
pub mod pipeline;
mod places;
pub mod readiness;
pub mod rebuild;
pub mod resume;
pub mod retention;
pub mod settings;
pub mod stage;
pub mod states;
pub mod topology;
pub mod watch;
