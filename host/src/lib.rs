//! Where engines run besides the lane itself.
//!
//! | module | what it is |
//! |---|---|
//! | [`library`] | engines behind the C interface, from shared libraries |
//! | [`serve`] | the child's side of a process: any engine over an exchange |

pub mod library;
pub mod serve;
