//! `cargo xtask docs`: what the documentation says to type works, and where it points something is.
//!
//! Read are README.md and every .md file under docs/. Fenced blocks with the info string `sh run` are run as written, in
//! their order, in a fresh copy of the tree per file (a reader also starts at the top and stays in one folder). The
//! copy's `target` is the workspace's own, so that a block that builds does not build everything again.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, Ended};

/// The info string of a block that is run.
const RUN_INFO: &str = "sh run";
/// A block that takes longer is taken to hang and is killed.
const BLOCK_MAX: Duration = Duration::from_secs(300);
/// Folders that are not part of the tree a reader has checked out.
const NOT_COPIED: [&str; 2] = ["target", ".git"];

/// A fenced block to run.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// Line of the opening fence, from 1.
    line: usize,
    text: String,
}

/// What one file holds for this check.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    blocks: Vec<Block>,
    /// Line, from 1, and target of each link.
    links: Vec<(usize, String)>,
    problems: Vec<String>,
}

/// Checks all links, then runs all blocks. Prints what it does; returns whether all is well.
///
/// # Errors
/// When a file cannot be read or the tree cannot be copied.
pub fn check(root: &Path) -> Result<bool, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |named| root.join(named));
    check_with(root, &target)
}

fn check_with(root: &Path, target: &Path) -> Result<bool, String> {
    let mut problems = Vec::new();
    let (mut links, mut blocks) = (0, 0);
    for file in pages(root).map_err(|fault| format!("{}: {fault}", root.display()))? {
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let text = fs::read_to_string(&file).map_err(|fault| format!("{name}: {fault}"))?;
        let page = read(&text);
        problems.extend(page.problems.iter().map(|problem| format!("{name}:{problem}")));
        links += page.links.len();
        for (line, link) in &page.links {
            if let Some(path) = missing(root, &file, link) {
                problems.push(format!("{name}:{line}: the link `{link}` leads to nothing: no {}", path.display()));
            }
        }
        if page.blocks.is_empty() {
            continue;
        }
        let tree = copy_tree(root, target).map_err(|fault| format!("copying the tree for {name}: {fault}"))?;
        for block in &page.blocks {
            blocks += 1;
            println!("-- {name}:{}", block.line);
            if let Err(fault) = run(block, &tree) {
                problems.push(format!("{name}:{}: the block {fault}:\n{}", block.line, block.text));
                break;
            }
        }
    }
    // What was built there has the same names as the workspace's own: as long as its sources exist, cargo takes it for that, whatever is
    // changed in the workspace.
    remove(&target.join("xtask-docs")).map_err(|fault| format!("removing the copy of the tree: {fault}"))?;
    for problem in &problems {
        println!("{problem}");
    }
    println!("docs: {links} links checked, {blocks} blocks run, {} problems", problems.len());
    Ok(problems.is_empty())
}

/// README.md and all .md files under docs/, in byte order of their paths.
fn pages(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Some(root.join("README.md")).filter(|path| path.is_file()).into_iter().collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop().filter(|folder| folder.is_dir()) {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Blocks and links of one page. Nothing inside a fence or a code span is a link.
fn read(text: &str) -> Page {
    let mut page = Page::default();
    // The open fence: its characters, and the block that it holds if that is to be run.
    let mut fence: Option<(usize, &str, Option<Block>)> = None;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let start = line.trim_start();
        let ticks = &start[..start.len() - start.trim_start_matches('`').len()];
        match &mut fence {
            Some((_, open, block)) if ticks.len() >= open.len() && start[ticks.len()..].trim().is_empty() => {
                page.blocks.extend(block.take());
                fence = None;
            }
            Some((_, _, block)) => {
                if let Some(block) = block {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
            }
            None if ticks.len() >= 3 => {
                let info = start[ticks.len()..].trim();
                let block = (info == RUN_INFO).then(|| Block { line: number, text: String::new() });
                fence = Some((number, ticks, block));
            }
            None => page.links.extend(links(line).into_iter().map(|link| (number, link))),
        }
    }
    if let Some((line, ..)) = fence {
        page.problems.push(format!("{line}: this fence is never closed"));
    }
    page
}

/// Targets of `[text](target)`, `![text](target "title")` and `[label]: target`.
fn links(line: &str) -> Vec<String> {
    let plain = without_code(line);
    let mut found = Vec::new();
    let mut rest = plain.as_str();
    while let Some(at) = rest.find("](") {
        rest = &rest[at + 2..];
        let Some(end) = rest.find(')') else { break };
        found.extend(rest[..end].split_whitespace().next().map(String::from));
    }
    if let Some((label, target)) = plain.trim_start().split_once("]: ")
        && label.starts_with('[')
        && !label.starts_with("[^")
    {
        found.extend(target.split_whitespace().next().map(String::from));
    }
    found
}

/// The line with its code spans blanked out: pieces between equally long runs of backticks.
fn without_code(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        let after = from.trim_start_matches('`');
        let ticks = &from[..from.len() - after.len()];
        // A run that is never closed is plain text.
        rest = after.find(ticks).map_or(after, |end| &after[end + ticks.len()..]);
    }
    plain + rest
}

/// The path that a relative link needs and that is not there. Anchors are not checked, other places are not asked.
fn missing(root: &Path, file: &Path, link: &str) -> Option<PathBuf> {
    let link = link.trim_start_matches('<').trim_end_matches('>');
    let path = link.split(['#', '?']).next().unwrap_or_default();
    if path.is_empty() || link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let target = match path.strip_prefix('/') {
        Some(from_root) => root.join(from_root),
        None => file.parent().unwrap_or(root).join(path),
    };
    (!target.exists()).then(|| plain_path(&target))
}

/// The path without `.` and `..`, for people.
fn plain_path(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
        plain
    })
}

fn run(block: &Block, tree: &Path) -> Result<(), String> {
    let mut shell = Command::new("sh");
    // Paths in the documentation start at `target`, which is there whatever the caller's own target folder is called.
    shell.args(["-e", "-c", &block.text]).current_dir(tree).env_remove("CARGO_TARGET_DIR");
    match process::run(&mut shell, BLOCK_MAX) {
        Err(fault) => Err(format!("cannot be started: {fault}")),
        Ok(Ended::Killed) => Err(format!("was killed after {} s", BLOCK_MAX.as_secs())),
        Ok(Ended::Exited(status)) if status.success() => Ok(()),
        Ok(Ended::Exited(status)) => Err(format!("ended with {status}")),
    }
}

/// A fresh copy of the tree, always in the same place and with the files' own times: cargo so takes what it built there
/// before for fresh.
fn copy_tree(root: &Path, target: &Path) -> io::Result<PathBuf> {
    let tree = target.join("xtask-docs");
    remove(&tree)?;
    copy_folder(root, &tree, target)?;
    std::os::unix::fs::symlink(target, tree.join("target"))?;
    Ok(tree)
}

fn remove(tree: &Path) -> io::Result<()> {
    // The link `target` in it is removed as a link.
    if tree.exists() { fs::remove_dir_all(tree) } else { Ok(()) }
}

fn copy_folder(from: &Path, to: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, copy) = (entry.file_type()?, to.join(entry.file_name()));
        let left_out = entry.path() == target || NOT_COPIED.iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !left_out {
            copy_folder(&entry.path(), &copy, target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &copy)?;
            // Times cannot be set through a descriptor of a file without write permission; there they do not matter.
            if let Ok(file) = fs::File::options().write(true).open(&copy) {
                file.set_modified(entry.metadata()?.modified()?)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_that_say_run_are_run() {
        let text = "a\n```sh run\necho 1\n  echo 2\n```\n```sh\nno\n```\n````sh run\n```\n````\n";
        let blocks = read(text).blocks;
        let expected = [Block { line: 2, text: "echo 1\n  echo 2\n".into() }, Block { line: 9, text: "```\n".into() }];
        assert_eq!(blocks, expected);
    }

    #[test]
    fn an_open_fence_is_a_problem() {
        let page = read("a\n```sh run\necho 1\n");
        assert_eq!(page.problems, ["2: this fence is never closed"]);
        assert_eq!(page.blocks, []);
    }

    #[test]
    fn links_are_found_outside_code() {
        let text =
            "[a](x.md) and ![b](y.svg \"t\") but `[c](z)`, ``a`[d](z)``\n[l]: w.md\n[^1]: note\n```\n[e](z)\n```\n";
        let expected = [(1, "x.md".to_string()), (1, "y.svg".to_string()), (2, "w.md".to_string())];
        assert_eq!(read(text).links, expected);
    }

    #[test]
    fn relative_links_must_lead_somewhere() {
        let root = crate::root();
        let page = root.join("docs/architecture.md");
        for link in
            ["https://x.org/y", "#part", "mailto:a@b", "../Cargo.toml", "../xtask/src/docs.rs#L1", "/Cargo.toml"]
        {
            assert_eq!(missing(&root, &page, link), None, "{link}");
        }
        assert_eq!(missing(&root, &page, "../none.md#a"), Some(root.join("none.md")));
        assert_eq!(missing(&root, &page, "/none.md"), Some(root.join("none.md")));
    }

    #[test]
    fn blocks_run_in_a_copy_and_must_succeed() {
        let root = std::env::temp_dir().join(format!("xtask-docs-{}", std::process::id()));
        fs::create_dir_all(root.join("docs/deep")).unwrap();
        let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
        write(
            "README.md",
            "```sh run\ntest -f docs/deep/a.md\ntouch made\n```\n```sh run\ntest -f made\n```\n[d](docs)\n",
        );
        write("docs/deep/a.md", "```sh run\ntest ! -e made\n```\n[r](../../README.md)\n");
        assert_eq!(check_with(&root, &root.join("target")), Ok(true));
        assert!(!root.join("made").exists(), "the block ran in the tree itself");
        write("docs/deep/a.md", "```sh run\nfalse\ntrue\n```\n");
        assert_eq!(check_with(&root, &root.join("target")), Ok(false));
        write("docs/deep/a.md", "[gone](gone.md)\n");
        assert_eq!(check_with(&root, &root.join("target")), Ok(false));
        fs::remove_dir_all(root).unwrap();
    }
}
