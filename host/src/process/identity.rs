//! What an engine command is: what lies in its program and in the files that its arguments name, its arguments, and its configuration.
//!
//! Whoever makes a host looks at it, and its warden at each start of a process: one that would be another engine under the name of the
//! first is refused. Never a lane: files are read whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Most bytes of a command's program and of the files that its arguments name, all together: each start of a process reads them, twice.
pub const CONTENT_MAX_BYTES: u64 = 1 << 30;
/// Bytes of one read.
const CHUNK_BYTES: usize = 64 * 1024;

/// A command as its process is started with it.
#[derive(Clone, Debug)]
pub(super) struct CommandLine {
    /// The program, absolute.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Where the process works, which is where a relative argument leads.
    pub directory: PathBuf,
}

/// What lies in a command's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    program: [u8; 32],
    /// Which argument, from 1, names it; where it is; the SHA-256 of its bytes.
    files: Vec<(usize, PathBuf, [u8; 32])>,
}

/// A command as it was when its host was made.
#[derive(Clone, Debug)]
pub(super) struct Known {
    command: CommandLine,
    content: Content,
    /// The identity.
    pub digest: [u8; 32],
}

impl Known {
    /// A command as it is now.
    ///
    /// # Errors
    /// As of [`Known::check`], for files that cannot be read or are too much.
    pub(super) fn new(command: CommandLine, config_json: &str) -> Result<Self, String> {
        let content = command.content()?;
        let digest = command.digest(&content, config_json);
        Ok(Self { command, content, digest })
    }

    /// Looks whether it is still that.
    ///
    /// # Errors
    /// Which file is not what it was, or cannot be read, and what to do. What to do comes first: it stands in the outcomes of runs, and a
    /// path may be long.
    pub(super) fn check(&self) -> Result<(), String> {
        let now = self.command.content().map_err(|why| {
            format!("engine process cannot be told from another engine than the first one: put the file back, or restart: {why}")
        })?;
        let Some(changed) = self.changed(&now) else { return Ok(()) };
        Err(format!(
            "engine process is another engine than the first one was: put the file back, or restart to use it: {} was changed",
            changed.display()
        ))
    }

    /// A file that is not what it was.
    fn changed<'a>(&'a self, now: &'a Content) -> Option<&'a Path> {
        if now.program != self.content.program {
            return Some(&self.command.program);
        }
        let (then, now) = (&self.content.files, &now.files);
        let mut differing =
            now.iter().filter(|file| !then.contains(file)).chain(then.iter().filter(|file| !now.contains(file)));
        differing.next().map(|(_, path, _)| path.as_path())
    }
}

impl CommandLine {
    /// Reads its files.
    ///
    /// # Errors
    /// Which one cannot be read, or is too much.
    pub(super) fn content(&self) -> Result<Content, String> {
        let mut left = CONTENT_MAX_BYTES;
        let program = sha256(&self.program, &mut left)?;
        let named = (1..).zip(&self.arguments).filter_map(|(at, argument)| Some((at, self.file_of(argument)?)));
        let files = named.map(|(at, path)| sha256(&path, &mut left).map(|sum| (at, path, sum)));
        Ok(Content { program, files: files.collect::<Result<_, _>>()? })
    }

    /// The regular file that an argument names, or what stands behind its first `=`.
    fn file_of(&self, argument: &str) -> Option<PathBuf> {
        let value = argument.split_once('=').map(|(_, value)| value);
        [argument].into_iter().chain(value).map(|name| self.directory.join(name)).find(|path| path.is_file())
    }

    /// The identity, as docs/engines.md has it. Without files it is what it was before they were looked at.
    pub(super) fn digest(&self, content: &Content, config_json: &str) -> [u8; 32] {
        let files = content.files.iter().map(|(at, _, sum)| [format!("file {at}\n").as_bytes(), sum].concat());
        let words = self.arguments.iter().map(String::as_str).chain([config_json]);
        let mut digest = Sha256::new();
        digest.update(b"cutline-engine/command\n");
        digest.update(content.program);
        for part in words.map(|word| word.as_bytes().to_vec()).chain(files) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// The SHA-256 of a file, of which no more than `left` bytes are read.
fn sha256(path: &Path, left: &mut u64) -> Result<[u8; 32], String> {
    let unreadable =
        |fault: io::Error| format!("{}: {fault}; what is in it belongs to the engine's identity", path.display());
    let too_much = || {
        format!(
            "{}: program and files that arguments name have more than {CONTENT_MAX_BYTES} bytes together, which is the most that belongs to an \
             engine's identity: name the folder that it lies in instead, which does not belong to it",
            path.display()
        )
    };
    let mut file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > *left {
        return Err(too_much());
    }
    let (mut sum, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => return Ok(sum.finalize().into()),
            Ok(read) => read,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => return Err(unreadable(fault)),
        };
        *left = left.checked_sub(read as u64).ok_or_else(too_much)?;
        sum.update(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A program in a folder of its own, with these arguments, in which `DIR` is the folder.
    fn command(arguments: &[&str]) -> (tempfile::TempDir, CommandLine) {
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("program");
        fs::write(&program, "#!/bin/true\n").unwrap();
        let folder = place.path().to_str().unwrap();
        let arguments = arguments.iter().map(|argument| argument.replace("DIR", folder)).collect();
        let directory = place.path().to_owned();
        (place, CommandLine { program, arguments, directory })
    }

    fn digest(command: &CommandLine) -> [u8; 32] {
        command.digest(&command.content().unwrap(), "{}")
    }

    fn hex(digest: [u8; 32]) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Both made by Python's hashlib from the words of docs/engines.md; the first is what logs have recorded ever since there are commands.
    #[test]
    fn an_identity_is_what_the_manual_says_and_without_files_what_it_always_was() {
        let (_place, without) = command(&["--depth", "3", "none.py"]);
        assert_eq!(hex(digest(&without)), "9515373bbc82f1885368cfd91bbd7ef2b0aa2b131498cff11f10a781cec1ed49");
        let (place, with) = command(&["--depth", "3", "none.py"]);
        fs::write(place.path().join("none.py"), "print(1)\n").unwrap();
        assert_eq!(hex(digest(&with)), "fa27baf3480ecc248818b309a13e9b22afa227f9fe9a4d59e8a06396461162fe");
    }

    #[test]
    fn what_is_in_a_file_that_an_argument_names_counts_however_it_is_named() {
        for argument in ["DIR/file", "file", "--model=DIR/file", "--model=file", "DIR/link"] {
            let (place, command) = command(&["--first", argument]);
            let path = place.path().join("file");
            std::os::unix::fs::symlink("file", place.path().join("link")).unwrap();
            let absent = digest(&command);
            fs::write(&path, "one").unwrap();
            let one = digest(&command);
            fs::write(&path, "two").unwrap();
            let two = digest(&command);
            assert!(absent != one && one != two && two != absent, "{argument}");
            fs::write(&path, "one").unwrap();
            assert_eq!(digest(&command), one, "{argument}: put back");
        }
    }

    #[test]
    fn what_lies_in_a_folder_or_where_cutline_was_started_does_not_count() {
        let here = std::env::current_dir().unwrap();
        assert!(here.join("Cargo.toml").is_file());
        let (place, command) = command(&["DIR/folder", "Cargo.toml", ""]);
        fs::create_dir(place.path().join("folder")).unwrap();
        let before = digest(&command);
        fs::write(place.path().join("folder/file"), "one").unwrap();
        assert_eq!(digest(&command), before);
        assert!(command.content().unwrap().files.is_empty());
    }

    #[test]
    fn what_is_not_what_it_was_is_named_until_it_is_put_back() {
        let (place, command) = command(&["file", "none"]);
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        write("file", "one");
        let known = Known::new(command, "{}").unwrap();
        assert_eq!(known.check(), Ok(()));
        let refused = |name: &str| {
            let fault = known.check().unwrap_err();
            let path = place.path().join(name);
            assert!(fault.contains("restart") && fault.contains(path.to_str().unwrap()), "{name}: {fault}");
        };
        write("file", "two");
        refused("file");
        fs::remove_file(place.path().join("file")).unwrap();
        refused("file");
        write("file", "one");
        assert_eq!(known.check(), Ok(()));
        write("none", "");
        refused("none");
        fs::remove_file(place.path().join("none")).unwrap();
        write("program", "#!/bin/false\n");
        refused("program");
        fs::remove_file(place.path().join("program")).unwrap();
        refused("program");
        write("program", "#!/bin/true\n");
        assert_eq!(known.check(), Ok(()));
    }

    #[test]
    fn more_than_the_limit_and_what_cannot_be_read_say_so() {
        let (place, command) = command(&["file"]);
        let file = File::create(place.path().join("file")).unwrap();
        file.set_len(CONTENT_MAX_BYTES).unwrap();
        let fault = command.content().unwrap_err();
        assert!(fault.contains("/file: ") && fault.contains("1073741824 bytes"), "{fault}");
        fs::remove_file(&command.program).unwrap();
        assert!(command.content().unwrap_err().contains("/program: No such file"));
    }
}
