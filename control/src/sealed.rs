//! Secrets that are encrypted at rest: `${sealed:PATH}` in a configuration. One key for all of them, which lies in a file that
//! [`KEY_FILE_ENV`] names; `cutline config key` makes it, `cutline config seal` what is opened here. Cold; any thread.
//!
//! ```text
//! file:  "cutline-sealed-1:" | hex(nonce, 24 bytes) | hex(XChaCha20-Poly1305 of the text, its length + 16 bytes) | "\n"
//! key:   hex(32 bytes) | "\n"
//! ```
//! The first words are authenticated with the text. The key is drawn at random and never derived from words of people, so that nothing
//! can be guessed; a nonce of 24 random bytes is as good as new for every text.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use cutline::config::{Around, Config, read_line};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::commands::note;

/// The environment variable that names the file of the key.
pub const KEY_FILE_ENV: &str = "CUTLINE_KEY_FILE";
/// What a sealed file begins with.
const BEGIN: &str = "cutline-sealed-1:";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Sees to it that no core file has what references name: from here on the kernel writes none of this process.
///
/// 1 and not 0: a limit of 0 is overlooked where `core_pattern` is a program, and only 1 keeps the kernel from starting it. A file of one
/// byte is not begun.
pub fn keep_in_memory(config: &Config) {
    if !config.resolved.is_empty() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Core);
        let refused = setrlimit(Resource::Core, Rlimit { current: Some(maximum.unwrap_or(1).min(1)), maximum });
        if let Err(fault) = refused {
            note(format_args!(
                "warning: a core file of this process would have its secrets, and cannot be ruled out: {fault}"
            ));
        }
    }
}

/// The environment and the files of this process, sealed ones too.
pub fn around() -> Around<'static> {
    let sealed = &|path: &str| {
        let file =
            std::env::var(KEY_FILE_ENV).map_err(|_| format!("{KEY_FILE_ENV} does not name the file of the key"))?;
        Key::read(Path::new(&file))?.open(&read_line(path)?)
    };
    Around { sealed, ..Around::of_process() }
}

/// Opens and seals. The cipher wipes its key when it is dropped.
pub struct Key(XChaCha20Poly1305);

impl Key {
    /// Draws one and writes it to a new file that nobody else may read.
    ///
    /// # Errors
    /// The file is there already, or cannot be written.
    pub fn create(file: &Path) -> Result<(), String> {
        let cannot = |fault: std::io::Error| format!("{}: {fault}", file.display());
        let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(cannot)?;
        let text = hex(&random::<KEY_BYTES>()?) + "\n";
        written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).map_err(cannot)
    }

    /// Reads one.
    ///
    /// # Errors
    /// There is none, or others may read it too.
    pub fn read(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let mode = file.metadata().map_err(|fault| format!("the key file {name}: {fault}"))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(format!("others may read the key file {name} (mode {:o}): chmod 600 it", mode & 0o777));
        }
        let text = read_line(&name.to_string()).map_err(|why| format!("the key file {name}: {why}"))?;
        let key = bytes(&text).and_then(|bytes| XChaCha20Poly1305::new_from_slice(&bytes).ok());
        key.map(Self).ok_or_else(|| format!("{name} is no key of `cutline config key`"))
    }

    /// A text that only this key opens.
    ///
    /// # Errors
    /// This system has no randomness.
    pub fn seal(&self, text: &str) -> Result<String, String> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: text.as_bytes(), aad: BEGIN.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| "the text is too long")?;
        Ok(format!("{BEGIN}{}{}", hex(&nonce), hex(&sealed)))
    }

    /// What was sealed.
    ///
    /// # Errors
    /// It was sealed with another key, or is not as it was.
    pub fn open(&self, sealed: &str) -> Result<String, String> {
        let foreign = || "it is nothing that `cutline config seal` has written".to_owned();
        let all = sealed.strip_prefix(BEGIN).and_then(bytes).ok_or_else(foreign)?;
        let (nonce, sealed) = all.split_first_chunk::<NONCE_BYTES>().ok_or_else(foreign)?;
        let payload = Payload { msg: sealed, aad: BEGIN.as_bytes() };
        let text = self.0.decrypt(&XNonce::from(*nonce), payload);
        let text = text.map_err(|_| "it was sealed with another key, or has changed since".to_owned())?;
        String::from_utf8(text).map_err(|_| foreign())
    }
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.map(|()| bytes).map_err(|fault| format!("/dev/urandom: {fault}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `None` if it is no hexadecimal text.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() { pairs.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(place: &tempfile::TempDir, name: &str) -> Key {
        let file = place.path().join(name);
        Key::create(&file).unwrap();
        Key::read(&file).unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_key_alone_and_as_it_was_alone() {
        let place = tempfile::tempdir().unwrap();
        let (one, other) = (key(&place, "one"), key(&place, "other"));
        for text in ["", "hunter2", "schl\u{fc}ssel\n"] {
            let sealed = one.seal(text).unwrap();
            assert_eq!(one.open(&sealed).unwrap(), text);
            assert!(text.is_empty() || !sealed.contains(&hex(text.as_bytes())), "{sealed}");
            assert_ne!(one.seal(text).unwrap(), sealed, "twice the same looks different");
            assert!(other.open(&sealed).unwrap_err().contains("another key"));
            // Each byte of it counts.
            for at in 0..sealed.len() {
                let mut changed = sealed.clone().into_bytes();
                changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
                assert!(one.open(&String::from_utf8(changed).unwrap()).is_err(), "changed at {at}");
                assert!(one.open(&sealed[..at]).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn what_the_first_version_has_sealed_is_opened_for_good() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("key");
        std::fs::write(&file, "86f0b32e7b10ba4376af8401b0d15cbca1fcb9cf47b01469ecafff6ae123248c\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let sealed = "cutline-sealed-1:\
            98749480f3bb62c1c65975ae4265a5469ad9ca89ae66fb8922484c18cd557b9d06fdcfb1a1557deba513625c4f02ba";
        assert_eq!(Key::read(&file).unwrap().open(sealed).unwrap(), "hunter2");
    }

    #[test]
    fn a_key_is_nobody_elses_and_never_written_over() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("key");
        Key::create(&file).unwrap();
        let before = std::fs::read(&file).unwrap();
        assert!(Key::create(&file).is_err_and(|why| why.contains("exists")));
        assert_eq!(std::fs::read(&file).unwrap(), before);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Key::read(&file).is_err_and(|why| why.contains("mode 640")));
        let short = place.path().join("short");
        std::fs::write(&short, "00ff\n").unwrap();
        std::fs::set_permissions(&short, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Key::read(&short).is_err_and(|why| why.contains("no key")));
    }
}
