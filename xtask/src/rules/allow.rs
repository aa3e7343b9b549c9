//! `xtask/rules.toml`: which rule may be broken where, and why. An entry that nothing needs any more is a problem too.

use std::collections::BTreeMap;

/// The allow list's name, for people.
pub const FILE: &str = "xtask/rules.toml";

/// The committed lists.
#[derive(Debug, Default)]
pub struct Allowed {
    words: Vec<Permit>,
    /// What a stage folder may import besides model and itself.
    imports: Vec<Permit>,
    /// What each crate of the data plane may depend on, by its folder.
    pub crates: BTreeMap<String, Vec<String>>,
}

/// One name in one place.
#[derive(Debug)]
struct Permit {
    rule: String,
    place: String,
    name: String,
    used: bool,
}

impl Allowed {
    /// # Errors
    /// Everything that is wrong with the text, one a line.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: toml::Table = text.parse().map_err(|fault| format!("{FILE}: {fault}"))?;
        let mut problems = Vec::new();
        let unknown = file.keys().filter(|key| !["allow", "import", "crates"].contains(&key.as_str()));
        problems.extend(unknown.map(|key| format!("{FILE}: unknown key `{key}`")));
        let mut allowed = Self {
            words: permits(&file, "allow", "file", "names", &mut problems),
            imports: permits(&file, "import", "stage", "from", &mut problems),
            crates: BTreeMap::new(),
        };
        for (folder, uses) in file.get("crates").and_then(toml::Value::as_table).into_iter().flatten() {
            match texts(uses) {
                Some(uses) => drop(allowed.crates.insert(folder.clone(), uses)),
                None => problems.push(format!("{FILE}: [crates] `{folder}` must be an array of crate names")),
            }
        }
        if problems.is_empty() { Ok(allowed) } else { Err(problems.join("\n")) }
    }

    /// Whether `rule` allows `word` in this file; what has been asked for counts as needed.
    pub fn takes(&mut self, rule: &str, file: &str, word: &str) -> bool {
        let permit =
            self.words.iter_mut().find(|permit| permit.rule == rule && permit.place == file && permit.name == word);
        permit.map(|permit| permit.used = true).is_some()
    }

    /// Whether the folder `stage` may import `path`: an entry allows a name and what lies below it.
    pub fn imports(&mut self, stage: &str, path: &[String]) -> bool {
        let below = |permit: &Permit| {
            let parts: Vec<_> = permit.name.split("::").collect();
            path.len() >= parts.len() && path.iter().zip(&parts).all(|(a, b)| a == b)
        };
        let permit = self.imports.iter_mut().find(|permit| permit.place == stage && below(permit));
        permit.map(|permit| permit.used = true).is_some()
    }

    /// Entries that allowed nothing.
    pub fn unneeded(&self) -> Vec<String> {
        let unused = self.words.iter().chain(&self.imports).filter(|permit| !permit.used);
        unused
            .map(|permit| {
                format!("{FILE}: {} no longer needs `{}` ({}); delete it", permit.place, permit.name, permit.rule)
            })
            .collect()
    }
}

/// The entries of an array of tables, one permit for each name.
fn permits(file: &toml::Table, key: &str, place: &str, names: &str, problems: &mut Vec<String>) -> Vec<Permit> {
    let mut found = Vec::new();
    let entries = file.get(key).and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (number, entry) in (1..).zip(entries) {
        let text = |key: &str| entry.get(key).and_then(toml::Value::as_str).filter(|text| !text.is_empty());
        let rule = if key == "allow" { text("rule") } else { Some("import") };
        match (rule, text(place), entry.get(names).and_then(texts), text("why")) {
            (Some(rule), Some(place), Some(names), Some(_)) if !names.is_empty() => {
                found.extend(names.into_iter().map(|name| Permit {
                    rule: rule.into(),
                    place: place.into(),
                    name,
                    used: false,
                }))
            }
            _ => problems.push(format!("{FILE}: [[{key}]] {number} needs `{place}`, `{names}` and `why`")),
        }
    }
    found
}

fn texts(value: &toml::Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(String::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "[[allow]]\nrule = \"clock\"\nfile = \"src/a.rs\"\nnames = [\"Instant\", \"SystemTime\"]\nwhy = \"w\"\n\
        [[import]]\nstage = \"cut\"\nfrom = [\"plane::stage\"]\nwhy = \"w\"\n[crates]\nring = [\"a\"]\n";

    #[test]
    fn an_entry_allows_its_names_in_its_file_alone() {
        let mut allowed = Allowed::read(LIST).unwrap();
        assert!(allowed.takes("clock", "src/a.rs", "Instant"));
        assert!(!allowed.takes("clock", "src/b.rs", "Instant"));
        assert!(!allowed.takes("threads", "src/a.rs", "Instant"));
        assert!(!allowed.takes("clock", "src/a.rs", "_rdtsc"));
        let path = |text: &str| text.split("::").map(String::from).collect::<Vec<_>>();
        assert!(allowed.imports("cut", &path("plane::stage::Progress")));
        assert!(!allowed.imports("cut", &path("plane")));
        assert!(!allowed.imports("invoke", &path("plane::stage::Progress")));
    }

    #[test]
    fn what_is_not_needed_any_more_is_a_problem() {
        let mut allowed = Allowed::read(LIST).unwrap();
        assert!(allowed.takes("clock", "src/a.rs", "Instant"));
        let unneeded = allowed.unneeded();
        assert_eq!(unneeded.len(), 2, "{unneeded:?}");
        assert!(unneeded[0].contains("src/a.rs no longer needs `SystemTime`"), "{unneeded:?}");
        assert!(unneeded[1].contains("cut no longer needs `plane::stage`"), "{unneeded:?}");
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        let fault = Allowed::read("[[allow]]\nrule = \"clock\"\nfile = \"a\"\nnames = [\"b\"]\n[x]\n").unwrap_err();
        assert!(fault.contains("[[allow]] 1 needs") && fault.contains("unknown key `x`"), "{fault}");
    }
}
