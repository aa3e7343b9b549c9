//! Tells when a configuration file may have changed: its folder is watched, since most editors replace a file rather than write into it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A file is read once nothing has happened to it for so long: an editor may write it in several steps.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Watches as long as it is there.
pub struct Files {
    _watcher: RecommendedWatcher,
    changed: mpsc::Receiver<()>,
    /// Something has changed that nobody was told of yet.
    is_pending: bool,
}

impl Files {
    /// Watches these files.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn watch(files: &[PathBuf]) -> notify::Result<Self> {
        // One note that something has changed is as good as many.
        let (sender, changed) = mpsc::channel(1);
        let names: Vec<PathBuf> =
            files.iter().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone())).collect();
        let folders: std::collections::BTreeSet<PathBuf> =
            names.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let is_ours = event.is_ok_and(|event| {
                // Reading them, as we do ourselves, changes nothing.
                !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| names.contains(path))
            });
            if is_ours {
                let _ = sender.try_send(());
            }
        })?;
        for folder in folders {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(Self { _watcher: watcher, changed, is_pending: false })
    }

    /// Waits until one of them may have changed, and then none has for a while. May be dropped while it waits: nothing is missed by that.
    pub async fn changed(&mut self) {
        if !self.is_pending && self.changed.recv().await.is_none() {
            std::future::pending().await
        }
        self.is_pending = true;
        while let Ok(Some(())) = timeout(DEBOUNCE, self.changed.recv()).await {}
        self.is_pending = false;
    }
}
