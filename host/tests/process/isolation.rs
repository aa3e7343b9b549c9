//! What an engine process cannot do: each attempt is refused, and told as a fault.

/// What an engine tries, told as text.
pub fn attempt(what: &str) -> String {
    format!("nothing to try: {what}")
}
