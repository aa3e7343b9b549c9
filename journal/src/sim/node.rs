//! One file of a simulated disk: what a reader sees, what would be there after a power loss, and what lies between.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::faults::Random;
use crate::layout::to_usize;

/// What a disk writes as a whole or not at all, bytes.
pub(super) const SECTOR_BYTES: usize = 512;
/// Sectors by which a misdirected write is off at most.
const OFF_SECTORS_MAX: u64 = 8;

/// How much of what was not flushed outlives a power loss, in eighths: all and nothing are as likely as the rest.
#[derive(Clone, Copy)]
pub(super) struct Luck(u64);

impl Luck {
    pub fn of(random: &mut Random) -> Self {
        const EIGHTHS: [u64; 5] = [0, 1, 4, 7, 8];
        Self(EIGHTHS[to_usize(random.below(5))])
    }

    pub fn holds(self, random: &mut Random) -> bool {
        random.below(8) < self.0
    }
}

/// A change that was not flushed yet.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Zero { at: usize, len: usize },
    Len(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Len(len) => set_len(to, *len),
            Self::Write { at, bytes } => write(to, *at, bytes),
            Self::Zero { at, len } => {
                let end = at + len;
                if to.len() < end && *len > 0 {
                    set_len(to, end);
                }
                if let Some(place) = to.get_mut(*at..end) {
                    place.fill(0);
                }
            }
        }
    }

    /// Where it writes what; `None` if it only sets the length.
    fn written(&self) -> Option<(usize, Cow<'_, [u8]>)> {
        match self {
            Self::Write { at, bytes } => Some((*at, Cow::Borrowed(bytes))),
            Self::Zero { at, len } => Some((*at, Cow::Owned(vec![0; *len]))),
            Self::Len(_) => None,
        }
    }
}

static ZEROS: [u8; 4096] = [0; 4096];

/// As `iter().all()`, which takes a build for tests a hundred times as long.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

/// As `resize`, which takes a build for tests a hundred times as long.
fn set_len(to: &mut Vec<u8>, len: usize) {
    to.truncate(len);
    to.reserve(len - to.len());
    while to.len() < len {
        to.extend_from_slice(&ZEROS[..ZEROS.len().min(len - to.len())]);
    }
}

fn write(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if to.len() < end && !bytes.is_empty() {
        set_len(to, end);
    }
    if let Some(place) = to.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

/// A file, whatever it is called.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// As the page cache shows it.
    cached: Vec<u8>,
    /// As the medium has it.
    durable: Vec<u8>,
    /// What the medium has not got yet, in order.
    pending: Vec<Change>,
    /// The cache may show something else than the medium has and will get.
    differs: bool,
}

impl Node {
    pub fn bytes(&self) -> &[u8] {
        &self.cached
    }

    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        // Most of what is written ahead of need is zeros.
        if is_zero(bytes) {
            self.zero(at, bytes.len());
        } else {
            self.change(Change::Write { at, bytes: bytes.to_vec() });
        }
    }

    pub fn zero(&mut self, at: usize, len: usize) {
        self.change(Change::Zero { at, len });
    }

    pub fn set_len(&mut self, len: usize) {
        if len != self.cached.len() {
            self.change(Change::Len(len));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    /// A flush that says nothing of having put one of the writes elsewhere. What the cache shows is right.
    pub fn sync_misdirected(&mut self, random: &mut Random) {
        self.differs = true;
        let is_write = |change: &Change| !matches!(change, Change::Len(_));
        let writes = self.pending.iter().filter(|change| is_write(change)).count();
        let chosen = random.below(writes as u64);
        let mut seen = 0;
        for change in std::mem::take(&mut self.pending) {
            seen += u64::from(is_write(&change));
            match change.written().filter(|_| seen == chosen + 1) {
                Some((at, bytes)) => {
                    let off = to_usize(1 + random.below(OFF_SECTORS_MAX)) * SECTOR_BYTES;
                    let at = if random.one_in(2) { at + off } else { at.saturating_sub(off) };
                    let fits = bytes.len().min(self.durable.len().saturating_sub(at));
                    write(&mut self.durable, at, &bytes[..fits]);
                }
                None => change.apply(&mut self.durable),
            }
        }
    }

    /// A flush that failed: the length is the file system's and is kept, of the bytes any sectors are, and nothing waits any
    /// more.
    pub fn sync_failed(&mut self, random: &mut Random) {
        let len = self.cached.len();
        self.tear(Luck::of(random), random);
        set_len(&mut self.durable, len);
        self.differs = !random.one_in(2);
        if !self.differs {
            self.cached.clone_from(&self.durable);
        }
    }

    /// The file after a power loss.
    pub fn lose_power(&mut self, random: &mut Random) {
        let luck = Luck::of(random);
        if self.pending.is_empty() && !self.differs {
            return;
        }
        self.tear(luck, random);
        self.differs = false;
        self.cached.clone_from(&self.durable);
    }

    /// The medium gets what it may have got: of each sector the state after any number of the writes to it, and any of the lengths.
    fn tear(&mut self, luck: Luck, random: &mut Random) {
        let image = &mut self.durable;
        let mut len = image.len();
        let mut len_stands = false;
        let mut stopped = BTreeSet::new();
        for change in self.pending.drain(..) {
            let end = match (change.written(), &change) {
                (Some((at, bytes)), _) => {
                    write_some(image, at, &bytes, &mut stopped, luck, random);
                    len.max(at + bytes.len())
                }
                (None, Change::Len(len)) => *len,
                (None, _) => len,
            };
            if end != len && !len_stands {
                len_stands = !luck.holds(random);
                len = if len_stands { len } else { end };
            }
        }
        set_len(image, len);
    }

    /// Other bytes on the medium, as far as it has any there.
    pub fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        for image in [&mut self.cached, &mut self.durable] {
            let fits = bytes.len().min(image.len().saturating_sub(at));
            write(image, at, &bytes[..fits]);
        }
    }

    /// Makes some bits on the medium wrong.
    pub fn flip(&mut self, at: usize, mask: u8) {
        for bytes in [&mut self.cached, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
    }
}

/// Writes those sectors of `bytes` that come through; one that does not takes no later write either.
fn write_some(
    image: &mut Vec<u8>,
    at: usize,
    bytes: &[u8],
    stopped: &mut BTreeSet<usize>,
    luck: Luck,
    random: &mut Random,
) {
    let end = at + bytes.len();
    let mut from = at;
    while from < end {
        let sector = from / SECTOR_BYTES;
        let to = ((sector + 1) * SECTOR_BYTES).min(end);
        if !stopped.contains(&sector) {
            if luck.holds(random) {
                write(image, from, &bytes[from - at..to - at]);
            } else {
                stopped.insert(sector);
            }
        }
        from = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(node: &Node) -> BTreeSet<Vec<u8>> {
        (0..400)
            .map(|seed| {
                let mut node = node.clone();
                node.lose_power(&mut Random::new(seed));
                assert_eq!(node.cached, node.durable);
                node.durable
            })
            .collect()
    }

    #[test]
    fn what_was_flushed_outlives_a_power_loss_and_the_rest_may_by_sectors() {
        let mut node = Node::default();
        node.write(0, &[1; 1024]);
        node.sync();
        assert_eq!(images(&node), [vec![1; 1024]].into());
        node.write(500, &[2; 24]);
        node.write(600, &[3; 8]);
        let sectors = |first: bool, second: u8| {
            let mut image = vec![1; 1024];
            if first {
                image[500..512].fill(2);
            }
            if second > 0 {
                image[512..524].fill(2);
            }
            if second > 1 {
                image[600..608].fill(3);
            }
            image
        };
        let all =
            [false, true].into_iter().flat_map(|first| (0..3).map(move |second| sectors(first, second))).collect();
        assert_eq!(images(&node), all, "any sector without the others, in order within one");
        assert_eq!(node.bytes(), sectors(true, 2), "the cache has everything");
    }

    #[test]
    fn a_length_that_was_not_flushed_is_any_of_those_it_had() {
        let mut node = Node::default();
        node.set_len(100);
        node.sync();
        node.set_len(300);
        node.set_len(50);
        let lens = images(&node).into_iter().map(|image| image.len()).collect::<BTreeSet<_>>();
        assert_eq!(lens, [50, 100, 300].into());
    }

    #[test]
    fn after_a_flush_that_failed_another_one_proves_nothing() {
        let (mut lost, mut shown) = (false, false);
        for seed in 0..200 {
            let mut node = Node::default();
            node.write(0, &[0; 512]);
            node.sync();
            node.write(0, &[7; 512]);
            node.sync_failed(&mut Random::new(seed));
            node.sync();
            let seen = node.cached.clone();
            node.lose_power(&mut Random::new(seed));
            lost |= node.bytes() == [0; 512];
            shown |= seen != node.bytes();
        }
        assert!(lost && shown, "lost: {lost}; shown although it was lost: {shown}");
    }
}
