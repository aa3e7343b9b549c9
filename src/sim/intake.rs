//! What must be stored of the bytes that a feed's pipe gave away, worked out without the code that does it.

use crate::ingest::Format;

/// Bytes after which a record's length is known, and of the shortest one.
pub const PREFIX_BYTES: usize = 8;
const RECORD_MIN_BYTES: usize = 56;

/// One feed's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The feed's name.
    pub name: &'a str,
    /// Lines or records.
    pub format: Format,
    /// What was taken of them.
    pub taken: &'a [u8],
}

/// What was received of a stream.
struct Taken<'a> {
    /// Lines without their ends, or records.
    whole: Vec<&'a [u8]>,
    /// What follows them.
    rest: &'a [u8],
    /// The rest is no beginning of a record, and the connection ends there.
    is_broken: bool,
}

fn split(stream: &[u8], format: Format) -> Taken<'_> {
    match format {
        Format::Ndjson => {
            let mut lines: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
            let rest = lines.pop().unwrap_or_default();
            let whole = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
            Taken { whole, rest, is_broken: false }
        }
        Format::Binary => {
            let (mut whole, mut rest) = (Vec::new(), stream);
            while let Some(prefix) = rest.first_chunk::<PREFIX_BYTES>() {
                let len = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
                if len < RECORD_MIN_BYTES || prefix[4..6] != *b"CL" {
                    return Taken { whole, rest, is_broken: true };
                }
                let Some((record, behind)) = rest.split_at_checked(len) else { break };
                whole.push(record);
                rest = behind;
            }
            Taken { whole, rest, is_broken: false }
        }
    }
}

/// What a feed finds of its lines after a restart.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Lines or records that are stored.
    pub stored: usize,
    /// Besides them a piece is that is none.
    pub partial: bool,
}

/// Compares what is stored of one feed with the bytes that were taken from it. Every line is stored once and in order; after a crash
/// the last ones may be missing, after a stop that came to its end (`is_whole`) none is. A stop that began (`ended`) also stores the
/// beginning of a line that was not taken to its end; what is no record and no beginning of one is stored in any case.
///
/// # Errors
/// Where they differ.
pub fn compare(
    sent: Sent<'_>,
    stored: &[&[u8]],
    line_max_bytes: usize,
    ended: bool,
    is_whole: bool,
) -> Result<Found, String> {
    let Taken { whole: lines, rest, is_broken } = split(sent.taken, sent.format);
    let cut = |line: &[u8]| line[..line.len().min(line_max_bytes)].to_vec();
    let mut expected: Vec<Vec<u8>> = lines.iter().copied().map(cut).collect();
    if is_broken || ended && !rest.is_empty() {
        expected.push(cut(rest));
    }
    let same = stored.iter().zip(&expected).take_while(|(stored, expected)| **stored == expected.as_slice()).count();
    if same < stored.len() || is_whole && same < expected.len() {
        let show =
            |line: Option<&[u8]>| line.map_or("nothing".to_owned(), |line| String::from_utf8_lossy(line).into_owned());
        let (is, should) = (stored.get(same).copied(), expected.get(same).map(Vec::as_slice));
        let (is, should) = (show(is), show(should));
        return Err(format!("line {same} of feed {} is stored as {is}\n  and was received as {should}", sent.name));
    }
    Ok(Found { stored: same.min(lines.len()), partial: same > lines.len() })
}

/// The lines or records of a stream from one on, to be sent again.
#[must_use]
pub fn lines_from(stream: &[u8], format: Format, from: usize) -> Vec<Vec<u8>> {
    split(stream, format).whole.into_iter().skip(from).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_was_taken_in_order() {
        let taken = b"one\r\ntwo is long\n\nfo";
        let all: [&[u8]; 4] = [b"one", b"two i", b"", b"fo"];
        let sent = Sent { name: "f", format: Format::Ndjson, taken };
        let found = |stored: &[&[u8]], ended, whole| compare(sent, stored, 5, ended, whole);
        assert_eq!(found(&all, true, true), Ok(Found { stored: 3, partial: true }));
        assert_eq!(found(&all[..3], false, true), Ok(Found { stored: 3, partial: false }));
        assert_eq!(found(&all[..1], false, false), Ok(Found { stored: 1, partial: false }));
        assert!(found(&all[..1], false, true).is_err(), "lines are missing");
        assert!(found(&all, false, false).is_err(), "nobody has ended the last line");
        assert!(found(&[b"one", b""], false, false).is_err(), "one is left out");
        assert!(found(&[b"one", b"one"], false, false).is_err(), "one is there twice");
        assert_eq!(lines_from(taken, Format::Ndjson, 1), [b"two is long".to_vec(), Vec::new()]);
    }

    #[test]
    fn records_follow_each_other_until_one_is_none() {
        let record = |len: u8| {
            let mut record = vec![len; usize::from(len)];
            record[..6].copy_from_slice(&[len, 0, 0, 0, b'C', b'L']);
            record
        };
        let (one, two) = (record(56), record(70));
        let broken = [&one[..], &two, b"\x05\0\0\0CL\x01\0more"].concat();
        let sent = |taken| Sent { name: "f", format: Format::Binary, taken };
        let all: [&[u8]; 3] = [&one, &two[..60], &broken[126..]];
        assert_eq!(compare(sent(&broken), &all, 60, false, true), Ok(Found { stored: 2, partial: true }));
        assert_eq!(lines_from(&broken, Format::Binary, 1), std::slice::from_ref(&two));
        let cut = &broken[..100];
        assert_eq!(compare(sent(cut), &all[..1], 60, false, true), Ok(Found { stored: 1, partial: false }));
        assert!(compare(sent(cut), &all[..1], 60, true, true).is_err(), "a stop keeps the beginning of a record");
    }
}
