//! What holds the stages together: their contract, the topology, lanes, and a pipeline on logs.

pub mod backlog;
pub mod by_source;
pub mod clock;
pub mod counters;
pub mod fault;
pub mod gate;
pub mod lane;
pub mod notice;
pub mod observe;
pub mod pipeline;
pub mod readiness;
pub mod rebuild;
pub mod settings;
pub mod stage;
pub mod topology;
