//! `cargo xtask rules`: what `docs/determinism.md` promises of the source, checked on the source.
//!
//! * [`words`]: no clock, randomness, hash order, thread, environment, output, `raw_payload` or `normalized` in the data
//!   plane, and no `unsafe` outside of ring, shm, journal and the C ABI, but where `xtask/rules.toml` allows it with a reason.
//!   Recovery names nothing by which one reaches a lane;
//! * [`crates`]: hot code never depends on cold, stage folders do not import each other;
//! * [`layouts`]: what lies on disk, in shared memory or on a wire only grows.
//!
//! It reads files and builds nothing. Each problem is `file:line: rule: what, and what to do`.

mod allow;
mod crates;
mod layouts;
mod source;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use allow::Allowed;
use source::Source;

/// Where `unsafe` may stand: mapped memory and queues, and the C ABI on both of its sides.
const WITH_UNSAFE: [&str; 6] = ["ring", "shm", "journal", "host", "clients/rust", "engines/library"];

/// Checks everything. Prints the problems; returns whether there are none. With `write`, golden layout files take in what was
/// added to the page.
///
/// # Errors
/// When something cannot be read or written.
pub fn check(root: &Path, write: bool) -> Result<bool, String> {
    let mut allowed = Allowed::read(&read(root, allow::FILE)?)?;
    let workspace: toml::Table = read(root, "Cargo.toml")?.parse().map_err(|fault| format!("Cargo.toml: {fault}"))?;
    let members = members(root, &workspace)?;
    let packages: Vec<_> = members.iter().map(|(_, package)| package.clone()).collect();
    let mut problems = Vec::new();
    let mut files = 0;
    for (folder, _) in &members {
        let sources = sources(root, folder, &mut problems)?;
        files += sources.len();
        if crates::INSIDE_OUT.iter().any(|(inside, _)| inside == folder) {
            problems.extend(words::check(&sources, words::DATA_PLANE, &mut allowed));
            let manifest = Path::new(folder).join("Cargo.toml").display().to_string();
            problems.extend(crates::check_manifest(folder, &read(root, &manifest)?, &packages, &allowed));
        }
        if folder.is_empty() {
            problems.extend(crates::check_imports(&sources, &mut allowed));
        }
        let of_recovery = sources.iter().filter(|source| source.path.starts_with(words::OF_RECOVERY));
        problems.extend(words::check(of_recovery, words::RECOVERY, &mut allowed));
        if !WITH_UNSAFE.contains(&folder.as_str()) {
            problems.extend(words::check(&sources, words::OUTSIDE_UNSAFE, &mut allowed));
            let tops = sources.iter().filter(|source| is_top(&source.path) && !source.forbids_unsafe);
            problems.extend(tops.map(|top| format!("{}:1: unsafe: `#![forbid(unsafe_code)]` is missing", top.path)));
        }
    }
    problems.extend(allowed.unneeded());
    problems.extend(check_layouts(root, write)?);
    problems.iter().for_each(|problem| println!("{problem}"));
    println!("rules: {files} files read, {} problems", problems.len());
    Ok(problems.is_empty())
}

fn read(root: &Path, path: &str) -> Result<String, String> {
    fs::read_to_string(root.join(path)).map_err(|fault| format!("{path}: {fault}"))
}

/// Whether a file is the top of a crate.
fn is_top(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

/// Folder and package of the workspace's members; the root package's folder is empty.
fn members(root: &Path, workspace: &toml::Table) -> Result<Vec<(String, String)>, String> {
    let folders = workspace.get("workspace").and_then(|table| table.get("members")).and_then(toml::Value::as_array);
    let folders = folders.into_iter().flatten().filter_map(toml::Value::as_str);
    let mut found = Vec::new();
    for folder in folders.map(|folder| folder.trim_start_matches('.')) {
        let manifest = Path::new(folder).join("Cargo.toml").display().to_string();
        let table: toml::Table = read(root, &manifest)?.parse().map_err(|fault| format!("{manifest}: {fault}"))?;
        let package = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        found.push((folder.to_owned(), package.ok_or_else(|| format!("{manifest}: no package name"))?.to_owned()));
    }
    Ok(found)
}

/// The files of a crate's `src` folder that are not for tests only, in the order of their paths.
fn sources(root: &Path, folder: &str, problems: &mut Vec<String>) -> Result<Vec<Source>, String> {
    let mut paths = Vec::new();
    let top = Path::new(folder).join("src");
    list(root, &top, "rs", &mut paths).map_err(|fault| format!("{}: {fault}", top.display()))?;
    let mut sources = Vec::new();
    for path in paths {
        match Source::read(&path, &read(root, &path)?) {
            Ok(source) => sources.push(source),
            Err(problem) => problems.push(problem),
        }
    }
    let for_tests: Vec<_> = sources.iter().flat_map(|source| source.test_modules.clone()).collect();
    let below = |path: &str, module: &String| {
        path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    sources.retain(|source| !for_tests.iter().any(|module| below(&source.path, module)));
    Ok(sources)
}

/// Paths below `folder` with this extension, from the root, sorted.
fn list(root: &Path, folder: &Path, extension: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, extension, found)?;
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    Ok(())
}

fn check_layouts(root: &Path, write: bool) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    list(root, Path::new(layouts::FOLDER), "txt", &mut paths)
        .map_err(|fault| format!("{}: {fault}", layouts::FOLDER))?;
    let mut golden = BTreeMap::new();
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        golden.insert(name, read(root, &path)?);
    }
    let found = layouts::check(&read(root, layouts::PAGE)?, &golden);
    let mut problems = found.problems;
    for (name, text) in found.additions {
        let path = format!("{}/{name}", layouts::FOLDER);
        if write {
            fs::write(root.join(&path), text).map_err(|fault| format!("{path}: {fault}"))?;
            println!("{path}: written");
        } else {
            problems.push(format!(
                "{path}:1: layouts: {} has more: `cargo xtask rules --write` takes it in",
                layouts::PAGE
            ));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_tree_is_found_out_as_a_whole() {
        let root = std::env::temp_dir().join(format!("xtask-rules-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Cargo.toml", "[workspace]\nmembers = [\".\", \"cold\"]\n[package]\nname = \"cutline\"\n");
        write("cold/Cargo.toml", "[package]\nname = \"cold\"\n");
        write("cold/src/main.rs", "#![forbid(unsafe_code)]\nfn main() { println!(); }\n");
        write("src/lib.rs", "#![forbid(unsafe_code)]\npub mod cut;\n");
        write("src/cut/mod.rs", "mod stage;\n#[cfg(test)]\nmod tests;\n");
        write("src/cut/tests.rs", "use std::time::Instant;\n");
        write("src/cut/stage.rs", "//! Instant\n");
        write("xtask/rules.toml", "");
        write(
            "docs/formats.md",
            "\n### A (8 bytes)\n\n| offset | size | field | meaning |\n|---|---|---|---|\n| 0 | 8 | a | |\n",
        );
        write("tests/layouts/v1/frame-kinds.txt", "");
        assert_eq!(check(&root, false), Ok(false), "the layout is not in a golden file yet");
        assert_eq!(check(&root, true), Ok(true), "it was written, and nothing else is wrong");
        assert_eq!(fs::read_to_string(root.join("tests/layouts/v1/a.txt")).unwrap(), "A: 8 bytes\n0 8 a\n");
        write("src/cut/stage.rs", "use std::time::Instant;\n");
        assert_eq!(check(&root, false), Ok(false));
        write("src/cut/stage.rs", "");
        write("cold/src/main.rs", "fn main() {}\n");
        assert_eq!(check(&root, false), Ok(false), "unsafe is not forbidden");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_committed_allow_list_can_be_read() {
        let text = read(&crate::root(), allow::FILE).unwrap();
        assert!(Allowed::read(&text).unwrap().crates.contains_key("ring"));
    }
}
