//! Who may depend on whom: crates by their manifests, stage folders of the data plane by their imports. Pure.

use super::allow::{Allowed, FILE};
use super::source::Source;

/// The data plane's crates from the inside out: folder and package. One may depend on those before it.
pub const INSIDE_OUT: [(&str, &str); 4] =
    [("ring", "cutline-ring"), ("shm", "cutline-shm"), ("journal", "cutline-journal"), ("", "cutline")];
/// The stages, in the order an event meets them; model is below them all.
const STAGES: [&str; 6] = ["model", "ingest", "sequence", "cut", "invoke", "publish"];

/// What a manifest of the data plane depends on that it may not. `members` are the packages of the workspace.
pub fn check_manifest(folder: &str, text: &str, members: &[String], allowed: &Allowed) -> Vec<String> {
    let path = if folder.is_empty() { "Cargo.toml".to_owned() } else { format!("{folder}/Cargo.toml") };
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(fault) => return vec![format!("{path}: {fault}")],
    };
    let own = INSIDE_OUT.iter().position(|(other, _)| *other == folder).unwrap_or(0);
    let inner: Vec<_> = INSIDE_OUT[..own].iter().map(|(_, package)| *package).collect();
    let listed =
        allowed.crates.get(if folder.is_empty() { "src" } else { folder }).map(Vec::as_slice).unwrap_or_default();
    let mut problems = Vec::new();
    let mut problem = |package: &str, what: &str| {
        let line = 1 + text.lines().position(|line| line.starts_with(package)).unwrap_or(0);
        problems.push(format!("{path}:{line}: crates: `{package}` {what}"));
    };
    let mut used = Vec::new();
    for (package, test_only) in dependencies(&manifest) {
        if members.contains(&package) {
            if !inner.contains(&package.as_str()) {
                problem(&package, "lies further out: hot code never depends on it, turn the dependency round");
            }
        } else if !test_only && !listed.contains(&package) {
            problem(&package, &format!("is not in {FILE}: leave it out, or list it if every lane can live with it"));
        }
        if !test_only {
            used.push(package);
        }
    }
    let unneeded = listed.iter().filter(|package| !used.contains(package));
    problems
        .extend(unneeded.map(|package| format!("{FILE}: [crates] {path} no longer depends on `{package}`; delete it")));
    problems
}

/// Packages a manifest depends on, and whether only its tests do.
fn dependencies(manifest: &toml::Table) -> Vec<(String, bool)> {
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    tables.extend(targets.filter_map(|(_, target)| target.as_table()));
    let mut found = Vec::new();
    for table in tables {
        for (key, test_only) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            for (name, value) in table.get(key).and_then(toml::Value::as_table).into_iter().flatten() {
                let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
                found.push((package.to_owned(), test_only));
            }
        }
    }
    found
}

/// What stage folders import that they may not: `sources` are those of `src/`.
pub fn check_imports(sources: &[Source], allowed: &mut Allowed) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        let module = source.module("");
        let Some(rank) = module.first().and_then(|own| STAGES.iter().position(|stage| stage == own)) else { continue };
        for name in &source.names {
            let Some(path) = resolve(&module, &name.segments) else { continue };
            let Some(folder) = path.first().filter(|folder| **folder != module[0] && *folder != "model") else {
                continue;
            };
            let behind = STAGES.iter().position(|stage| stage == folder).is_some_and(|other| other > rank);
            let what = if behind || ["config", "replay", "sim"].contains(&folder.as_str()) {
                "a stage knows nothing of what comes behind it or holds it; hand the value in"
            } else if !allowed.imports(&module[0], &path) {
                "stage folders do not import each other; hand the value in, or list a value type with its reason"
            } else {
                continue;
            };
            problems.push(format!(
                "{}:{}: imports: `{}` from {}: {what}",
                source.path,
                name.line,
                path.join("::"),
                module[0]
            ));
        }
    }
    problems
}

/// A path from the crate's root, if it is one of this crate: `crate::a`, `self::a`, `super::a` in `module`.
fn resolve(module: &[String], segments: &[String]) -> Option<Vec<String>> {
    let (mut path, mut rest) = match segments.first()?.as_str() {
        "crate" => (Vec::new(), &segments[1..]),
        "self" if segments.len() > 1 => (module.to_vec(), &segments[1..]),
        "super" => (module.to_vec(), segments),
        _ => return None,
    };
    while let [first, behind @ ..] = rest
        && first == "super"
    {
        path.pop();
        rest = behind;
    }
    path.extend_from_slice(rest);
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<String> {
        ["cutline-ring", "cutline-shm", "cutline", "cutline-control"].map(String::from).to_vec()
    }

    fn allowed() -> Allowed {
        let text =
            "[crates]\nshm = [\"rustix\"]\n[[import]]\nstage = \"cut\"\nfrom = [\"plane::stage\"]\nwhy = \"w\"\n";
        Allowed::read(text).unwrap()
    }

    #[test]
    fn a_dependency_on_an_outer_crate_is_found() {
        for table in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
            let text =
                format!("[{table}]\ncutline-ring.workspace = true\ncutline-control = {{ path = \"../control\" }}\n");
            let found = check_manifest("shm", &text, &members(), &Allowed::default());
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("shm/Cargo.toml:3: crates: `cutline-control` lies further out"), "{found:?}");
        }
    }

    #[test]
    fn a_renamed_dependency_is_found() {
        let text = "[dependencies]\na = { package = \"cutline\", path = \"..\" }\n";
        assert!(
            check_manifest("ring", text, &members(), &Allowed::default())[0].contains("`cutline` lies further out")
        );
    }

    #[test]
    fn a_crate_that_is_not_listed_is_found_and_one_too_many() {
        let found = check_manifest(
            "shm",
            "[dependencies]\ntokio = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n",
            &members(),
            &allowed(),
        );
        assert!(found[0].starts_with("shm/Cargo.toml:2: crates: `tokio` is not in"), "{found:?}");
        assert!(found[1].contains("no longer depends on `rustix`"), "{found:?}");
        assert_eq!(found.len(), 2);
        assert_eq!(check_manifest("shm", "[dependencies]\nrustix = \"1\"\n", &members(), &allowed()), [""; 0]);
    }

    /// Problems of `src/cut/stage.rs` with this text.
    fn imports(text: &str) -> Vec<String> {
        check_imports(&[Source::read("src/cut/stage.rs", text).unwrap()], &mut allowed())
    }

    #[test]
    fn a_stage_that_imports_another_is_found() {
        for text in [
            "\nuse crate::sequence::names::Names;",
            "\nfn f(a: super::super::sequence::names::Names) {}",
            "\nuse super::super::{model::json, sequence::names};",
            "\nfn f() { crate::sequence::names::make(); }",
        ] {
            let found = imports(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with("src/cut/stage.rs:2: imports: `sequence::names"), "{found:?}");
        }
        assert_eq!(
            imports("use crate::plane::stage::Stage; use super::state::A; use crate::model::json; use mio::net;"),
            [""; 0]
        );
    }

    #[test]
    fn a_stage_behind_cannot_be_allowed() {
        let mut allowed =
            Allowed::read("[[import]]\nstage = \"cut\"\nfrom = [\"publish::stage\", \"config\"]\nwhy = \"w\"\n")
                .unwrap();
        let source =
            Source::read("src/cut/state.rs", "use crate::publish::stage;\nuse crate::config::Config;").unwrap();
        let found = check_imports(&[source], &mut allowed);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].starts_with("src/cut/state.rs:2: imports: `config::Config` from cut: a stage knows nothing"));
    }
}
