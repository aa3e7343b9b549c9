//! Which processes belong to a module: all of its process group, and whatever descends from it, though it has changed its group. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::proc::Stat;

/// The processes of the module that was started as `root`, by the table of all processes there are.
///
/// A module is started as the leader of a group of its own, which its children stay in unless they leave it; who leaves it has still come
/// from it, as long as its parents live.
pub fn members(table: &BTreeMap<u32, Stat>, root: u32) -> BTreeSet<u32> {
    let mut found: BTreeSet<u32> =
        table.iter().filter(|(pid, stat)| **pid == root || stat.group == root).map(|(pid, _)| *pid).collect();
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, stat) in table {
        children.entry(stat.parent).or_default().push(*pid);
    }
    let mut open: Vec<u32> = found.iter().copied().collect();
    while let Some(pid) = open.pop() {
        open.extend(children.get(&pid).into_iter().flatten().filter(|child| found.insert(**child)));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stat(parent: u32, group: u32) -> Stat {
        Stat { state: 'S', parent, group, ticks: 0, waited_ticks: 0, threads: 1, resident_pages: 0 }
    }

    /// Whether one of the ancestors, or it itself, is of the group.
    fn naive(table: &BTreeMap<u32, Stat>, root: u32, pid: u32) -> bool {
        let (mut at, mut seen) = (pid, BTreeSet::new());
        while let Some(stat) = table.get(&at) {
            if at == root || stat.group == root {
                return true;
            }
            if !seen.insert(at) {
                return false;
            }
            at = stat.parent;
        }
        false
    }

    proptest! {
        /// Parents may form a circle in what is read: processes end and their numbers are given again while it is.
        #[test]
        fn it_is_who_has_an_ancestor_in_the_group(
            all in proptest::collection::btree_map(1_u32..30, (0_u32..30, 1_u32..30), 0..30), root in 1_u32..30,
        ) {
            let table: BTreeMap<u32, Stat> = all.into_iter().map(|(pid, (parent, group))| (pid, stat(parent, group))).collect();
            let found = members(&table, root);
            for pid in table.keys() {
                prop_assert_eq!(found.contains(pid), naive(&table, root, *pid), "{}", pid);
            }
            prop_assert!(found.iter().all(|pid| table.contains_key(pid)));
        }
    }
}
