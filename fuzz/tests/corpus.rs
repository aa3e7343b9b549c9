//! Every committed seed passes its target, and so do mutations of them that follow from a seed, without libFuzzer: what was found
//! once stays found, and a target that no longer fits the code is noticed by whoever changes the code.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, panic};

use cutline::sim::random::Random;
use cutline_fuzz::TARGETS;

/// How long each target gets mutated inputs; `FUZZ_MS` for another time.
const MUTATE: Duration = Duration::from_millis(1_000);
/// Longest mutated input, bytes.
const LEN_MAX: usize = 4096;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("read"))).collect()
}

fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let seeds = corpus(name);
    assert!(seeds.len() >= 3, "{name}: {} seeds", seeds.len());
    for (path, bytes) in &seeds {
        println!("{}", path.display());
        (target.check)(bytes);
    }
    let given = std::env::var("FUZZ_MS").ok().and_then(|ms| ms.parse().ok());
    let (began, long) = (Instant::now(), given.map_or(MUTATE, Duration::from_millis));
    let mut random = Random::new(1);
    let mut executions = 0_u64;
    while began.elapsed() < long {
        let input = mutate(&seeds, &mut random);
        if let Err(panic) = panic::catch_unwind(|| (target.check)(&input)) {
            let path = std::env::temp_dir().join(format!("cutline-fuzz-{name}"));
            fs::write(&path, &input).expect("written");
            println!("mutation {executions} is in {}; copy it to fuzz/corpus/{name}/", path.display());
            panic::resume_unwind(panic);
        }
        executions += 1;
    }
    println!("{executions} mutations");
}

/// A seed, or the head of one and the tail of another, changed in a few places.
fn mutate(seeds: &[(PathBuf, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut input = seeds[random.index(seeds.len())].1.clone();
    if random.one_in(3) {
        let other = &seeds[random.index(seeds.len())].1;
        input.truncate(random.index(input.len() + 1));
        input.extend_from_slice(&other[random.index(other.len() + 1)..]);
    }
    for _ in 0..=random.index(6) {
        let at = random.index(input.len());
        match random.index(6) {
            0 => input.insert(at, random.draw() as u8),
            1 if !input.is_empty() => drop(input.remove(at)),
            2 if !input.is_empty() => input[at] ^= 1 << random.index(8),
            3 if !input.is_empty() => input[at] = random.pick(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'\n']),
            4 => {
                let again: Vec<u8> = input[at..].iter().take(random.index(40)).copied().collect();
                input.splice(at..at, again);
            }
            _ if !input.is_empty() => input[at] = random.draw() as u8,
            _ => {}
        }
    }
    input.truncate(LEN_MAX);
    input
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(#[test] fn $target() { run(stringify!($target)); })*

        #[test]
        fn each_target_has_its_test() {
            let tested = [$(stringify!($target)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
        }
    };
}

targets!(binary canonical config envelope frames log pipeline ring snapshot splitter);
