//! How the parts of a running system are told apart when they do badly: each test makes the real thing, and reads what the record of
//! events says of it.

mod cgroup;
#[path = "../common/mod.rs"]
mod common;
mod cost;
mod disk;
mod lanes;
mod modules;
mod record;
