//! The lines of a capture in order, each whole, from a place in it on. One that is followed goes on when more is written to it, and when
//! another file takes its name.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::commands::capture;

/// Longest line, bytes: no capture has one, but a file that is none may.
const LINE_MAX_BYTES: u64 = 64 << 20;

/// What there is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A line, with its end.
    Line,
    /// Nothing yet: the file is followed.
    NotYet,
    /// Nothing more.
    End,
}

/// See the module.
pub struct Source {
    file: PathBuf,
    follow: bool,
    reader: BufReader<Box<dyn Read + Send>>,
    inode: u64,
    /// Bytes of the lines that were handed out.
    bytes: u64,
    /// How often another file had taken its name.
    replaced: u64,
    /// What there is of the next one.
    begun: Vec<u8>,
}

impl Source {
    /// Opens it, at its beginning.
    ///
    /// # Errors
    /// It cannot be read, or not be followed.
    pub fn open(settings: &Settings) -> Result<Self, String> {
        let Settings { file, follow, .. } = settings;
        let is_packed = file.extension().is_some_and(|ending| ending == "gz" || ending == "zst");
        if *follow && is_packed {
            return Err(format!("{}: a packed capture cannot be followed", file.display()));
        }
        let opened = capture::open(file).map_err(|failure| failure.message)?;
        let inode = if file.as_os_str() == "-" { 0 } else { std::fs::metadata(file).map_or(0, |found| found.ino()) };
        let reader = BufReader::with_capacity(1 << 16, opened.reader);
        Ok(Self { file: file.clone(), follow: *follow, reader, inode, bytes: 0, replaced: 0, begun: Vec::new() })
    }

    /// Its name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Which file it is that has this name; 0 for what is no file.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Bytes of the lines that were handed out, from its beginning.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often another file, or the same one made shorter, has begun in its place.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Leaves out so many bytes, as far as it has them.
    pub fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes += io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink())?;
        Ok(())
    }

    /// Puts the next line behind what is in `into`.
    ///
    /// # Errors
    /// It cannot be read any further, or is no capture.
    pub fn next(&mut self, into: &mut Vec<u8>) -> Result<Next, String> {
        let cannot = |fault: io::Error, file: &Path| format!("{}: {fault}", file.display());
        loop {
            let room = LINE_MAX_BYTES - self.begun.len() as u64;
            let read = self.reader.by_ref().take(room).read_until(b'\n', &mut self.begun);
            read.map_err(|fault| cannot(fault, &self.file))?;
            if self.begun.ends_with(b"\n") {
                return Ok(self.hand_out(into));
            }
            if self.begun.len() as u64 >= LINE_MAX_BYTES {
                let at = self.bytes;
                return Err(format!("{}: the line at byte {at} has no end within 64 MiB", self.file.display()));
            }
            if !self.follow {
                if self.begun.is_empty() {
                    return Ok(Next::End);
                }
                self.begun.push(b'\n');
                return Ok(self.hand_out(into));
            }
            if !self.has_another_begun() {
                return Ok(Next::NotYet);
            }
            let settings = Settings { file: self.file.clone(), pace: super::pace::Pace::AsTaken, follow: true };
            *self = Self { replaced: self.replaced + 1, ..Self::open(&settings)? };
        }
    }

    fn hand_out(&mut self, into: &mut Vec<u8>) -> Next {
        self.bytes += self.begun.len() as u64;
        into.append(&mut self.begun);
        Next::Line
    }

    /// Whether what has the name now is another file, or the same one made shorter.
    fn has_another_begun(&self) -> bool {
        let read = self.bytes + self.begun.len() as u64;
        std::fs::metadata(&self.file).is_ok_and(|now| self.inode != 0 && (now.ino() != self.inode || now.len() < read))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::super::pace::Pace;
    use super::*;

    fn open(file: &Path, follow: bool) -> Source {
        Source::open(&Settings { file: file.to_owned(), pace: Pace::AsTaken, follow }).unwrap()
    }

    fn next(source: &mut Source) -> (Next, String) {
        let mut line = Vec::new();
        let next = source.next(&mut line).unwrap();
        (next, String::from_utf8(line).unwrap())
    }

    #[test]
    fn every_line_comes_once_with_its_end_and_a_start_goes_on_where_it_is_told() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("capture");
        fs::write(&file, "one\n\nthree").unwrap();
        let mut source = open(&file, false);
        let line = |text: &str| (Next::Line, text.to_owned());
        assert_eq!([next(&mut source), next(&mut source)], [line("one\n"), line("\n")]);
        assert_eq!(source.bytes(), 5);
        assert_eq!([next(&mut source), next(&mut source)], [line("three\n"), (Next::End, String::new())]);
        let mut source = open(&file, false);
        source.skip(5).unwrap();
        assert_eq!((next(&mut source), source.bytes()), (line("three\n"), 11));
    }

    #[test]
    fn a_file_that_is_followed_goes_on_when_it_grows_is_replaced_or_cut() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("capture");
        fs::write(&file, "one\ntw").unwrap();
        let mut source = open(&file, true);
        let (line, not_yet) = (|text: &str| (Next::Line, text.to_owned()), (Next::NotYet, String::new()));
        assert_eq!([next(&mut source), next(&mut source)], [line("one\n"), not_yet.clone()]);
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"o\n").unwrap();
        assert_eq!([next(&mut source), next(&mut source)], [line("two\n"), not_yet.clone()]);
        fs::write(place.path().join("new"), "first\n").unwrap();
        fs::rename(place.path().join("new"), &file).unwrap();
        assert_eq!([next(&mut source), next(&mut source)], [line("first\n"), not_yet.clone()]);
        assert_eq!((source.bytes(), source.replaced()), (6, 1));
        fs::write(&file, "x\n").unwrap();
        assert_eq!([next(&mut source), next(&mut source)], [line("x\n"), not_yet]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let settings = |file: &str, follow| Settings { file: file.into(), pace: Pace::AsTaken, follow };
        assert!(
            Source::open(&settings("/no/such/capture", false)).is_err_and(|text| text.contains("/no/such/capture"))
        );
        assert!(Source::open(&settings("x.gz", true)).is_err_and(|text| text.contains("packed")));
    }
}
