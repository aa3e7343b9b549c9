//! Users and groups of this machine, by name and number, as `/etc/passwd` and `/etc/group` have them. Reads these two files alone: users
//! that a directory service knows are named by number.

use std::fs;

/// The two files as they were when they were read.
#[derive(Clone, Debug, Default)]
pub struct People {
    passwd: String,
    group: String,
}

impl People {
    /// Reads them; what cannot be read has nobody in it.
    pub fn read() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Self::of(text("/etc/passwd"), text("/etc/group"))
    }

    /// From their texts.
    pub const fn of(passwd: String, group: String) -> Self {
        Self { passwd, group }
    }

    /// The name of a user.
    pub fn name_of(&self, uid: u32) -> Option<&str> {
        self.passwd.lines().find_map(|line| {
            let (name, number) = entry(line)?;
            (number == uid).then_some(name)
        })
    }

    /// The number of a user.
    pub fn uid_of(&self, user: &str) -> Option<u32> {
        self.passwd.lines().filter_map(entry).find(|(name, _)| *name == user).map(|(_, uid)| uid)
    }

    /// Whether a user with this group is in the group of this name: it is the user's own, or lists the user among its members.
    pub fn is_in(&self, group: &str, uid: u32, gid: u32) -> bool {
        let user = self.name_of(uid);
        self.group.lines().any(|line| {
            let Some((name, number)) = entry(line) else { return false };
            let members = line.split(':').nth(3).unwrap_or_default();
            let is_listed = user.is_some_and(|user| members.split(',').any(|member| member.trim() == user));
            name == group && (number == gid || is_listed)
        })
    }
}

/// Name and number of a line of either file: `name:password:number:...`.
fn entry(line: &str) -> Option<(&str, u32)> {
    let mut fields = line.split(':');
    Some((fields.next()?, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_members_are_found_and_damaged_lines_are_left_out() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad\nann:x:1000:1000::/:/bin/sh\nx:x:many:1::/:\n";
        let group = "root:x:0:\nops:x:7:bob,ann\nann:x:1000:\nshort:x\n";
        let people = People::of(passwd.to_owned(), group.to_owned());
        assert_eq!((people.name_of(1000), people.name_of(7)), (Some("ann"), None));
        assert_eq!((people.uid_of("root"), people.uid_of("x"), people.uid_of("an")), (Some(0), None, None));
        assert!(people.is_in("ops", 1000, 1000) && people.is_in("ann", 1000, 1000) && people.is_in("ops", 5, 7));
        assert!(!people.is_in("ops", 0, 0) && !people.is_in("op", 1000, 1000) && !people.is_in("short", 0, 0));
        assert!(!People::default().is_in("ops", 1000, 1000));
    }
}
