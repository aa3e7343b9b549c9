//! Second: receipts get their place. One stage stamps, numbers and journals them; nothing else writes the inputs log.

pub mod names;
pub mod stage;
pub mod tally;
