//! One thing that was looked at. A plain value.

use std::fmt;

use super::host::Host;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As wanted.
    Ok,
    /// Otherwise.
    Wrong,
    /// The machine does not show it.
    Unknown,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its name here and in `tuning/`.
    pub name: String,
    /// What is there; `None` if that cannot be read.
    pub found: Option<String>,
    /// What should be.
    pub wanted: String,
    /// Why.
    pub why: String,
    /// How to change it.
    pub how: String,
    /// How it stands.
    pub state: State,
}

impl Finding {
    /// Something that a boot, a service file or an administrator sets. What was not found is unknown, whatever `is_well` says.
    pub fn fact(name: &str, found: Option<String>, wanted: &str, why: &str, how: &str, is_well: bool) -> Self {
        let state = match (&found, is_well) {
            (None, _) => State::Unknown,
            (Some(_), true) => State::Ok,
            (Some(_), false) => State::Wrong,
        };
        let text = str::to_owned;
        Self { name: text(name), found, wanted: text(wanted), why: text(why), how: text(how), state }
    }

    /// A file of the kernel that can be written at run time, so `tuning/host.sh` does it.
    pub fn knob(host: &Host, name: &str, path: &str, wanted: &Wanted<'_>, why: &str) -> Self {
        let found = host.value(path);
        let is_well = found.as_deref().is_some_and(|found| wanted.fits(found));
        let how =
            format!("tuning/host.sh -k '{name}' apply, which `undo` takes back; or: echo {} > {path}", wanted.set_to());
        Self::fact(name, found, &wanted.text(), why, &how, is_well)
    }

    /// For machines.
    pub fn to_json(&self) -> serde_json::Value {
        let state = match self.state {
            State::Ok => "ok",
            State::Wrong => "wrong",
            State::Unknown => "unknown",
        };
        serde_json::json!({"name": self.name, "state": state, "found": self.found, "wanted": self.wanted, "why": self.why,
            "how": self.how})
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Wrong => "WRONG",
            State::Unknown => "unknown",
        };
        let found = self.found.as_deref().unwrap_or("not to be read");
        write!(f, "{state:<9} {:<28} {found:<22} want {:<20} {}", self.name, self.wanted, self.why)?;
        if self.state == State::Wrong && !self.how.is_empty() {
            write!(f, "\n{:9} {}", "", self.how)?;
        }
        Ok(())
    }
}

/// What a file should say.
pub enum Wanted<'a> {
    /// One of these; the first is what it is set to.
    OneOf(&'a [&'a str]),
    /// This number or less.
    AtMost(u64),
    /// This number or more.
    AtLeast(u64),
}

impl Wanted<'_> {
    fn fits(&self, found: &str) -> bool {
        let number = found.parse::<u64>();
        match self {
            Self::OneOf(values) => values.contains(&found),
            Self::AtMost(most) => number.is_ok_and(|number| number <= *most),
            Self::AtLeast(least) => number.is_ok_and(|number| number >= *least),
        }
    }

    fn set_to(&self) -> String {
        match self {
            Self::OneOf(values) => values[0].to_owned(),
            Self::AtMost(number) | Self::AtLeast(number) => number.to_string(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::OneOf(values) => values.join("|"),
            Self::AtMost(most) => format!("<={most}"),
            Self::AtLeast(least) => format!(">={least}"),
        }
    }
}
