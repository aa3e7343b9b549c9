//! The contracts' values from outside: against vectors that Python wrote, against `serde_json`, and through the binary form.

mod binary;
mod properties;
mod vectors;
