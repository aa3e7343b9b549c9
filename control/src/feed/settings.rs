//! What is sent how fast: by the command line, and by a module's configuration over it. Values only.

use std::path::PathBuf;

use serde_json::Value;

use super::pace::Pace;

/// Most lines per second that can be asked for.
pub const RATE_MAX: u64 = 100_000_000;
/// The keys of `[module.config]`.
const KEYS: [&str; 4] = ["file", "rate", "speed", "follow"];

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The capture; `-` is standard input.
    pub file: PathBuf,
    /// How fast.
    pub pace: Pace,
    /// Whether more is waited for at its end.
    pub follow: bool,
}

impl Settings {
    /// These, with what a module's configuration says over them.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn with(&self, config: &Value) -> Result<Self, String> {
        let mut settings = self.clone();
        let Some(table) = config.as_object() else { return Err(format!("{config} is no table")) };
        if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("there is no key `{unknown}`: there are {}", KEYS.join(", ")));
        }
        if let Some(file) = table.get("file") {
            let name = file.as_str().filter(|name| !name.is_empty() && *name != "-");
            settings.file = name.ok_or("`file` is a path")?.into();
        }
        if let Some(follow) = table.get("follow") {
            settings.follow = follow.as_bool().ok_or("`follow` is true or false")?;
        }
        settings.pace = match (table.get("rate"), table.get("speed")) {
            (Some(_), Some(_)) => return Err("`rate` stands beside `speed`: keep one of them".to_owned()),
            (Some(rate), None) => Pace::of_rate(rate.as_u64().unwrap_or(u64::MAX))?,
            (None, Some(speed)) => Pace::of_speed(speed.as_f64().unwrap_or(f64::NAN))?,
            (None, None) => settings.pace,
        };
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base() -> Settings {
        Settings { file: "a".into(), pace: Pace::Rate(7), follow: false }
    }

    #[test]
    fn what_a_configuration_says_stands_over_the_command_line() {
        assert_eq!(base().with(&json!({})), Ok(base()));
        let told = base().with(&json!({"file": "b", "rate": 0, "follow": true}));
        assert_eq!(told, Ok(Settings { file: "b".into(), pace: Pace::AsTaken, follow: true }));
        assert_eq!(base().with(&json!({"speed": 2})).map(|told| told.pace), Ok(Pace::Recorded(2.0)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (config, word) in [
            (json!([]), "table"),
            (json!({"path": "x"}), "file, rate, speed, follow"),
            (json!({"file": 3}), "path"),
            (json!({"file": "-"}), "path"),
            (json!({"rate": -1}), "rate"),
            (json!({"rate": 1.5}), "rate"),
            (json!({"speed": 0}), "speed"),
            (json!({"speed": "fast"}), "speed"),
            (json!({"rate": 1, "speed": 1}), "beside"),
            (json!({"follow": 1}), "true or false"),
        ] {
            let fault = base().with(&config).unwrap_err();
            assert!(fault.contains(word), "{config}: {fault}");
        }
    }
}
