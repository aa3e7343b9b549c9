//! Where engines run besides the lane itself.
//!
//! | module | what it is |
//! |---|---|
//! | [`blocking`] | an engine over any of these hosts, for whoever may wait |
//! | [`child`] | a child process: started through the launcher, its output taken over, its death noticed |
//! | [`library`] | engines behind the C interface, from shared libraries |
//! | [`process`] | an engine in processes of its own: started, watched, killed and started again |
//! | [`python`] | the program that serves a Python engine |
//! | [`sandbox`] | what such a process may do |
//! | [`serve`] | the child's side of a process: any engine over an exchange |

#![deny(unsafe_code)]

pub mod blocking;
pub mod child;
#[allow(unsafe_code)] // calls what somebody else compiled
pub mod library;
pub mod process;
pub mod python;
pub mod sandbox;
pub mod serve;
