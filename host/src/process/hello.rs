//! What an engine process says of itself, read from memory that it may have written anything to. Pure.

use cutline::model::json::Members;

/// Longest text that is taken over from it, bytes.
const TEXT_MAX_BYTES: usize = 4_096;

/// What a process that is ready says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Identity of the engine.
    pub digest: [u8; 32],
    /// All of it, for the log.
    pub text: String,
}

/// Reads hello, or says what is wrong with it.
pub(super) fn read_hello(bytes: &[u8]) -> Result<Hello, String> {
    let wrong = |what: &str| format!("engine process said a hello {what}; docs/formats.md says what belongs there");
    let text = str::from_utf8(bytes).map_err(|_| wrong("that is no UTF-8"))?;
    let digest = member(text, "digest").ok_or_else(|| wrong("without a digest"))?;
    let digest = digest_of(&digest).ok_or_else(|| wrong("whose digest is not 64 hexadecimal digits"))?;
    Ok(Hello { digest, text: text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect() })
}

/// Why it refuses, if it says so.
pub(super) fn read_refusal(bytes: &[u8]) -> Option<String> {
    let reason = member(str::from_utf8(bytes).ok()?, "error")?;
    Some(reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// The string under this key of a JSON object.
fn member(text: &str, name: &str) -> Option<String> {
    let mut members = Members::open(text).ok()?;
    let mut found = None;
    while let Some(member) = members.next().ok()? {
        if member.key.is(name) {
            found = Some(member.value);
        }
    }
    let mut string = String::new();
    found?.string()?.unescape(&mut string, TEXT_MAX_BYTES).then_some(string)
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_is_read_or_refused_by_what_is_wrong_with_it() {
        let digest = "0f".repeat(32);
        let hello = read_hello(format!("{{\"digest\":\"{digest}\",\"name\":\"a\\n\"}}").as_bytes()).unwrap();
        assert_eq!(hello.digest, [15; 32]);
        for (text, what) in [
            (&b"\xFF"[..], "no UTF-8"),
            (b"", "without a digest"),
            (b"{}", "without a digest"),
            (b"{\"digest\":7}", "without a digest"),
            (b"{\"digest\":\"0f\"}", "64 hexadecimal"),
            (format!("{{\"digest\":\"+{}\"}}", &digest[1..]).as_bytes(), "64 hexadecimal"),
        ] {
            let fault = read_hello(text).unwrap_err();
            assert!(fault.contains(what), "{fault}");
        }
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(read_refusal(b"{\"error\":\"no module\\nnamed x\"}").as_deref(), Some("no module named x"));
        for nothing in [&b""[..], b"{\"error\":1}", b"garbage", b"\xFF"] {
            assert_eq!(read_refusal(nothing), None);
        }
    }
}
