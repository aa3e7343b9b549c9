//! Who may do what: from the kernel's word on who is at the other end of a socket to a role. Pure.

use cutline::config::{Control, Who};

use crate::bus::access::Person;
use crate::people::People;

/// What somebody may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Viewer,
    /// Start, stop and restart modules.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// The key of `[control]` that lists those who have it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Viewer => "control.viewers",
            Self::Operator => "control.operators",
            Self::Admin => "control.admins",
        }
    }

    /// The highest that somebody has; `owner` is the user that this process runs as.
    pub fn of(person: &Person, config: &Control, owner: u32, people: &People) -> Option<Self> {
        let lists =
            [(Self::Admin, &config.admins), (Self::Operator, &config.operators), (Self::Viewer, &config.viewers)];
        let is_meant = |who: &Who| match who {
            Who::Owner => person.uid == owner,
            Who::Uid(uid) => person.uid == *uid,
            Who::Gid(gid) => person.gid == *gid,
            Who::User(name) => people.uid_of(name) == Some(person.uid),
            Who::Group(name) => people.is_in(name, person.uid, person.gid),
        };
        lists.into_iter().find(|(_, list)| list.iter().any(is_meant)).map(|(role, _)| role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_list_counts_and_who_is_in_none_has_no_role() {
        let text = "[control]\nviewers = [\"group:ops\"]\noperators = [\"uid:1000\", \"gid:9\"]\nadmins = [\"owner\", \"user:root\"]\n";
        let config = cutline::config::Config::from_text("roles.toml", text).expect("legal").0.control;
        let people = People::of(
            "root:x:0:0::/:\nann:x:1000:1000::/:\nbob:x:1001:1001::/:\n".to_owned(),
            "ops:x:7:ann,bob\n".to_owned(),
        );
        for (uid, gid, role) in [
            (0, 0, Some(Role::Admin)),
            (500, 500, Some(Role::Admin)),
            (1000, 1000, Some(Role::Operator)),
            (1001, 1001, Some(Role::Viewer)),
            (2000, 9, Some(Role::Operator)),
            (2000, 7, Some(Role::Viewer)),
            (2000, 2000, None),
        ] {
            let person = Person { user: uid.to_string(), uid, gid, pid: None };
            assert_eq!(Role::of(&person, &config, 500, &people), role, "{uid}");
        }
        assert!(Role::Admin > Role::Operator && Role::Operator > Role::Viewer);
    }
}
