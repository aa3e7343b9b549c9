//! Standard base64 (RFC 4648 section 4, with padding), both ways.
//!
//! Pure; any thread; cold. Never lenient: [`decode`] takes exactly what [`encode`] writes, because the binary form stores the
//! bytes only where their text can be written again byte for byte.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PAD: u8 = b'=';

/// Appends `bytes` as base64.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |index: u32| ALPHABET[(word >> (18 - 6 * index) & 63) as usize];
        out.extend_from_slice(&[
            digit(0),
            digit(1),
            if chunk.len() > 1 { digit(2) } else { PAD },
            if chunk.len() > 2 { digit(3) } else { PAD },
        ]);
    }
}

/// Appends the bytes that `text` stands for. `false`, with `out` as it was, if `text` is not what [`encode`] would write for them:
/// another alphabet, missing padding, white space, or bits set that no byte uses.
#[must_use]
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let done = append(text, out).is_some();
    if !done {
        out.truncate(before);
    }
    done
}

fn append(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (quads, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    for (index, quad) in quads.iter().enumerate() {
        let last = index + 1 == quads.len();
        let pads = quad.iter().rev().take_while(|&&byte| byte == PAD).count();
        if pads > 2 || (pads > 0 && !last) {
            return None;
        }
        let mut word = 0u32;
        for &byte in &quad[..4 - pads] {
            word = word << 6 | value(byte)?;
        }
        word <<= 6 * pads;
        let bytes = word.to_be_bytes();
        let (used, unused) = bytes[1..].split_at(3 - pads);
        if unused.iter().any(|&byte| byte != 0) {
            return None;
        }
        out.extend_from_slice(used);
    }
    Some(())
}

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4648_vectors() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode(plain.as_bytes(), &mut out);
            assert_eq!(out, coded.as_bytes());
            let mut back = Vec::new();
            assert!(decode(coded.as_bytes(), &mut back));
            assert_eq!(back, plain.as_bytes());
        }
        let mut out = Vec::new();
        encode(&[0xFB, 0xFF, 0xFE], &mut out);
        assert_eq!(out, b"+//+");
    }

    #[test]
    fn refuses_what_it_would_not_write() {
        for bad in ["Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z===", "====", "Zm9v\n", "-_-_", "Zm 9", "=Zm9"] {
            let mut out = vec![7];
            assert!(!decode(bad.as_bytes(), &mut out), "{bad}");
            assert_eq!(out, [7]);
        }
    }
}
