//! Keys that somebody has set in the running system: the topmost layer, each until it expires or the process ends. Pure; time is an
//! argument.

use serde::Serialize;

/// Most of them.
const MAX: usize = 256;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Override {
    /// The key.
    pub key: String,
    /// `KEY=VALUE`, as `--set` takes it.
    #[serde(skip)]
    pub set: String,
    /// Who has set it.
    pub who: String,
    /// When it expires, Unix ms; `None`: with the process.
    pub until_ms: Option<i64>,
}

/// All of them, in the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(Vec<Override>);

impl Overrides {
    /// The same with one more, in the place of one for the same key.
    ///
    /// # Errors
    /// It is no `KEY=VALUE`, or there are too many.
    pub fn with(&self, set: &str, who: &str, until_ms: Option<i64>) -> Result<Self, String> {
        let (key, _) = set.split_once('=').ok_or_else(|| format!("{set:?} is no KEY=VALUE"))?;
        let key = key.trim().to_owned();
        let mut all: Vec<Override> = self.0.iter().filter(|other| other.key != key).cloned().collect();
        if all.len() == MAX {
            return Err(format!("there are {MAX} overrides already: put them into a file"));
        }
        all.push(Override { key, set: set.to_owned(), who: who.to_owned(), until_ms });
        Ok(Self(all))
    }

    /// The same without those that have expired by now.
    pub fn still(&self, now_ms: i64) -> Self {
        Self(self.0.iter().filter(|one| one.until_ms.is_none_or(|until_ms| until_ms > now_ms)).cloned().collect())
    }

    /// The same without an end.
    pub fn for_good(mut self) -> Self {
        self.0.iter_mut().for_each(|one| one.until_ms = None);
        self
    }

    /// When the next one expires, Unix ms.
    pub fn next_ms(&self) -> Option<i64> {
        self.0.iter().filter_map(|one| one.until_ms).min()
    }

    /// As a layer.
    pub fn sets(&self) -> Vec<String> {
        self.0.iter().map(|one| one.set.clone()).collect()
    }

    /// All of them.
    pub fn all(&self) -> &[Override] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_for_a_key_counts_until_it_expires() {
        let none = Overrides::default();
        let one = none.with("a.b=1", "ann", Some(100)).and_then(|one| one.with("c = x=y", "bob", None)).expect("sets");
        let two = one.with("a.b=2", "bob", Some(70)).expect("a set");
        assert_eq!(two.sets(), ["c = x=y", "a.b=2"]);
        assert_eq!((one.next_ms(), two.next_ms(), none.next_ms()), (Some(100), Some(70), None));
        assert_eq!(two.still(69), two);
        assert_eq!(two.still(70).sets(), ["c = x=y"]);
        assert_eq!(none.with("nothing", "ann", None), Err("\"nothing\" is no KEY=VALUE".to_owned()));
        let full = (0..MAX).try_fold(none, |all, number| all.with(&format!("k{number}=1"), "ann", None)).expect("room");
        assert!(full.with("k7=2", "ann", None).is_ok() && full.with("more=2", "ann", None).is_err());
    }
}
