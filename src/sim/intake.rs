//! What must be stored of the bytes that a feed's pipe gave away, worked out without the code that does it.

use std::fmt::Display;

/// Lines of a stream without their ends, and what follows the last end.
fn split(stream: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
    let rest = lines.pop().unwrap_or_default();
    let lines = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    (lines, rest)
}

/// What a feed finds of its lines after a restart.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Lines that are stored.
    pub stored: usize,
    /// Besides them a piece of the next one is.
    pub partial: bool,
}

/// Compares what is stored of one feed with the bytes that were taken from it. Every line is stored once and in order; after a crash
/// the last ones may be missing, after a stop that came to its end (`is_whole`) none is. A stop that began (`ended`) also stores the
/// beginning of a line that was not taken to its end.
///
/// # Errors
/// Where they differ.
pub fn compare(
    name: impl Display,
    taken: &[u8],
    stored: &[&[u8]],
    line_max_bytes: usize,
    ended: bool,
    is_whole: bool,
) -> Result<Found, String> {
    let (lines, rest) = split(taken);
    let cut = |line: &[u8]| line[..line.len().min(line_max_bytes)].to_vec();
    let mut expected: Vec<Vec<u8>> = lines.iter().copied().map(cut).collect();
    if ended && !rest.is_empty() {
        expected.push(cut(rest));
    }
    let same = stored.iter().zip(&expected).take_while(|(stored, expected)| **stored == expected.as_slice()).count();
    if same < stored.len() || is_whole && same < expected.len() {
        let show =
            |line: Option<&[u8]>| line.map_or("nothing".to_owned(), |line| String::from_utf8_lossy(line).into_owned());
        let (is, should) = (stored.get(same).copied(), expected.get(same).map(Vec::as_slice));
        let (is, should) = (show(is), show(should));
        return Err(format!("line {same} of feed {name} is stored as {is}\n  and was received as {should}"));
    }
    Ok(Found { stored: same.min(lines.len()), partial: same > lines.len() })
}

/// The lines of a stream from one on, to be sent again.
#[must_use]
pub fn lines_from(stream: &[u8], from: usize) -> Vec<Vec<u8>> {
    split(stream).0.into_iter().skip(from).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_was_taken_in_order() {
        let taken = b"one\r\ntwo is long\n\nfo";
        let all: [&[u8]; 4] = [b"one", b"two i", b"", b"fo"];
        let found = |stored: &[&[u8]], ended, whole| compare("f", taken, stored, 5, ended, whole);
        assert_eq!(found(&all, true, true), Ok(Found { stored: 3, partial: true }));
        assert_eq!(found(&all[..3], false, true), Ok(Found { stored: 3, partial: false }));
        assert_eq!(found(&all[..1], false, false), Ok(Found { stored: 1, partial: false }));
        assert!(found(&all[..1], false, true).is_err(), "lines are missing");
        assert!(found(&all, false, false).is_err(), "nobody has ended the last line");
        assert!(found(&[b"one", b""], false, false).is_err(), "one is left out");
        assert!(found(&[b"one", b"one"], false, false).is_err(), "one is there twice");
        assert_eq!(lines_from(taken, 1), [b"two is long".to_vec(), Vec::new()]);
    }
}
