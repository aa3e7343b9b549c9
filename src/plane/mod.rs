//! What holds the stages together: their contract, the topology, lanes, and a pipeline on logs.

pub mod clock;
pub mod counters;
pub mod lane;
pub mod observe;
pub mod pipeline;
pub mod rebuild;
pub mod stage;
pub mod topology;
