//! The user that a child process runs as, found by name.

use serde::{Deserialize, Serialize};

/// A user and its group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub user: u32,
    pub group: u32,
}

/// The user of this name. Only root can become another one.
pub(super) fn find(name: &str) -> Result<User, String> {
    let known = std::fs::read_to_string("/etc/passwd").map_err(|fault| format!("/etc/passwd: {fault}"))?;
    let user = in_passwd(&known, name).ok_or("no such user in /etc/passwd; make one, or leave it empty")?;
    let own = rustix::process::geteuid();
    if !own.is_root() && own.as_raw() != user.user {
        return Err("only root can start processes of another user".to_owned());
    }
    Ok(user)
}

fn in_passwd(known: &str, name: &str) -> Option<User> {
    known.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let mut numbers = fields.skip(1).map(|number| number.parse().ok());
        Some(User { user: numbers.next()??, group: numbers.next()?? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let known =
            "root:x:0:0:root:/root:/bin/sh\nnobody2:x:1:1::/:\nnobody:x:65534:65533:nobody:/:/bin/false\nbad:x:no:1\n";
        assert_eq!(in_passwd(known, "nobody"), Some(User { user: 65534, group: 65533 }));
        assert_eq!(in_passwd(known, "root"), Some(User { user: 0, group: 0 }));
        assert!(in_passwd(known, "nob").is_none() && in_passwd(known, "bad").is_none() && in_passwd("", "").is_none());
        assert!(find("nobody of this name").unwrap_err().contains("no such user"));
    }
}
