//! `[http]` and `[control]`: who may look at a running system and who may change it, and by which door.
//!
//! Pure values: sockets are opened, and names of users looked up, by the cold path.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::reader::Section;

/// Name of the control socket in `log.live_dir`.
const SOCKET_NAME: &str = "control.sock";
/// Longest time that a request may take, ms.
const TIMEOUT_MAX_MS: u64 = 60_000;

/// `[http]`: the listener for health, readiness and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it listens; `None`: it does not.
    pub listen: Option<HttpListen>,
    /// Most connections at a time; further ones wait.
    pub connections_max: u32,
    /// Longest life of a connection, ms.
    pub timeout_ms: u64,
}

/// Where HTTP is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpListen {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// `[control]`: the Unix socket through which commands change a running system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The socket; where it was left empty, in `log.live_dir`.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Most connections at a time; further ones wait.
    pub connections_max: u32,
    /// Longest time in which a request must have come, and an answer be taken, ms.
    pub timeout_ms: u64,
    /// Who may look.
    pub viewers: Vec<Who>,
    /// Who may also start, stop and restart modules.
    pub operators: Vec<Who>,
    /// Who may do everything.
    pub admins: Vec<Who>,
}

/// A user, or users, at the other end of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever Cutline itself runs as.
    Owner,
    /// A user by name.
    User(String),
    /// A group by name: those whose group it is, and its members.
    Group(String),
    /// A user by number.
    Uid(u32),
    /// A group by number.
    Gid(u32),
}

impl Who {
    fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let number = || name.parse().ok();
        match kind {
            "owner" if text == kind => Some(Self::Owner),
            "user" if !name.is_empty() => Some(Self::User(name.to_owned())),
            "group" if !name.is_empty() => Some(Self::Group(name.to_owned())),
            "uid" => number().map(Self::Uid),
            "gid" => number().map(Self::Gid),
            _ => None,
        }
    }
}

pub(super) fn http(section: &Section<'_>) -> Http {
    Http {
        listen: listen(section),
        connections_max: section.integer_u32("connections_max", 1..=1024),
        timeout_ms: section.integer("timeout_ms", 100..=TIMEOUT_MAX_MS),
    }
}

fn listen(section: &Section<'_>) -> Option<HttpListen> {
    let text = section.text("listen");
    if text.is_empty() {
        return None;
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(HttpListen::Unix(super::read::socket_path(section, "listen", path.to_owned())));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => return Some(HttpListen::Tcp(address)),
        Ok(address) => {
            let what = format!("{address} can be reached from other machines, and nothing here asks who they are");
            let next_step = "Set 127.0.0.1:PORT, [::1]:PORT or unix:PATH, and put a proxy with TLS before it.";
            section.problem("listen", what, next_step);
        }
        Err(_) => {
            let what = format!("{text:?} is no address");
            section.problem("listen", what, "Set \"127.0.0.1:9464\", \"unix:PATH\", or \"\" for none.");
        }
    }
    None
}

/// `live_dir` is `log.live_dir`.
pub(super) fn control(section: &Section<'_>, live_dir: &Path) -> Control {
    let path = section.text("path");
    let path =
        if path.is_empty() { live_dir.join(SOCKET_NAME) } else { super::read::socket_path(section, "path", path) };
    Control {
        path,
        mode: mode(section),
        connections_max: section.integer_u32("connections_max", 1..=1024),
        timeout_ms: section.integer("timeout_ms", 100..=TIMEOUT_MAX_MS),
        viewers: people(section, "viewers"),
        operators: people(section, "operators"),
        admins: people(section, "admins"),
    }
}

fn mode(section: &Section<'_>) -> u32 {
    let text = section.text("mode");
    match u32::from_str_radix(&text, 8) {
        Ok(mode @ 0o600..=0o666) if mode & 0o111 == 0 => return mode,
        _ if section.is_bad("mode") => {}
        _ => {
            let what = format!("{text:?} is no permission of a socket");
            section.problem("mode", what, "Set \"0600\" (its owner alone), \"0660\" (its group too) or \"0666\".");
        }
    }
    0o600
}

fn people(section: &Section<'_>, key: &str) -> Vec<Who> {
    let texts = section.texts(key);
    if let Some(nobody) = texts.iter().find(|text| Who::parse(text).is_none())
        && !section.is_bad(key)
    {
        let what = format!("{nobody:?} names nobody");
        let next_step = "Write \"owner\", \"user:NAME\", \"group:NAME\", \"uid:NUMBER\" or \"gid:NUMBER\".";
        section.problem(key, what, next_step);
    }
    texts.iter().filter_map(|text| Who::parse(text)).collect()
}
