//! Who runs where: stages on lanes, and the links between them. A plain value, made from the config before anything starts and printed
//! by `cutline check`. It starts no thread and allocates no ring.
//!
//! [`Topology::new`] refuses what could not work: it is the only place that holds these rules, for the config, the simulator and
//! hand-made topologies alike.

mod fault;

use std::fmt;

use cutline_journal::Descriptor;
use cutline_ring::idle::Idle;

pub use self::fault::TopologyFault;

/// One unit of the data plane, in the order in which an event meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageId {
    /// Receives bytes and drafts receipts.
    Ingest,
    /// Numbers and stamps receipts; writes the inputs log.
    Sequence,
    /// Plans ticks and cuts; writes the runs log.
    Cut,
    /// Calls the engine. There may be several, numbered from 0: each has the runs of its own symbols.
    Invoke(u8),
    /// Writes the outputs log.
    Publish,
}

/// Most invoke stages of a pipeline.
pub const INVOKES_MAX: usize = 8;

impl StageId {
    /// Every stage of a pipeline with one invoke stage, in the event's order.
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Sequence, Self::Cut, Self::Invoke(0), Self::Publish];

    /// The name in the config.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Sequence => "sequence",
            Self::Cut => "cut",
            Self::Invoke(index) => INVOKES[index as usize % INVOKES_MAX],
            Self::Publish => "publish",
        }
    }
}

const INVOKES: [&str; INVOKES_MAX] =
    ["invoke", "invoke-2", "invoke-3", "invoke-4", "invoke-5", "invoke-6", "invoke-7", "invoke-8"];

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A thread and the stages it polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSpec {
    /// Its name in counters and messages.
    pub name: String,
    /// The core it is pinned to; without one the kernel places it, perhaps beside others.
    pub core: Option<usize>,
    /// How it waits when a pass found no work.
    pub idle: Idle,
    /// Its stages; a [`Topology`] keeps them in the event's order.
    pub stages: Vec<StageId>,
}

/// How much a link holds before it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// A bytes ring: capacity in bytes.
    Bytes(u64),
    /// A ring of slots: capacity in entries.
    Entries(u64),
}

impl Depth {
    /// The same in bytes: an entry is one descriptor.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Entries(entries) => entries * size_of::<Descriptor>() as u64,
        }
    }
}

/// A ring between two stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSpec {
    /// Its name in counters and messages.
    pub name: &'static str,
    /// The stage that writes it.
    pub from: StageId,
    /// The stage that reads it.
    pub to: StageId,
    /// Its capacity.
    pub depth: Depth,
    /// True: a full link stops its producer. False: it loses what does not fit, and counts it.
    pub gated: bool,
}

/// Lanes and links that can work together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    lanes: Vec<LaneSpec>,
    links: Vec<LinkSpec>,
}

impl Topology {
    /// Puts lanes and links together. Each lane's stages are sorted into the event's order, so that one pass over a fused lane
    /// carries an event all the way through.
    ///
    /// # Errors
    /// Every reason why they cannot work together, lanes first.
    pub fn new(mut lanes: Vec<LaneSpec>, links: Vec<LinkSpec>) -> Result<Self, Vec<TopologyFault>> {
        let mut faults = Vec::new();
        check_lanes(&lanes, &mut faults);
        check_links(&lanes, &links, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        for lane in &mut lanes {
            lane.stages.sort_unstable();
        }
        Ok(Self { lanes, links })
    }

    /// The lanes, in the order given.
    #[must_use]
    pub fn lanes(&self) -> &[LaneSpec] {
        &self.lanes
    }

    /// The links, in the order given.
    #[must_use]
    pub fn links(&self) -> &[LinkSpec] {
        &self.links
    }

    /// The link of that name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&LinkSpec> {
        self.links.iter().find(|link| link.name == name)
    }

    /// How many invoke stages there are.
    #[must_use]
    pub fn invokes(&self) -> usize {
        invokes(&self.lanes)
    }

    /// Index of the lane that polls a stage.
    #[must_use]
    pub fn lane_of(&self, stage: StageId) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.stages.contains(&stage))
    }

    /// Lanes pinned to a core that is not among `allowed` (this process's mask, resolved once in main): name and core.
    #[must_use]
    pub fn cores_not_in(&self, allowed: &[usize]) -> Vec<(&str, usize)> {
        let pinned = self.lanes.iter().filter_map(|lane| lane.core.map(|core| (lane.name.as_str(), core)));
        pinned.filter(|(_, core)| !allowed.contains(core)).collect()
    }
}

/// How many invoke stages these lanes ask for: up to the last that one of them has.
#[must_use]
pub fn invokes(lanes: &[LaneSpec]) -> usize {
    let indices = lanes.iter().flat_map(|lane| &lane.stages).filter_map(|stage| match stage {
        StageId::Invoke(index) => Some(usize::from(*index) + 1),
        _ => None,
    });
    indices.max().unwrap_or(1)
}

fn check_lanes(lanes: &[LaneSpec], faults: &mut Vec<TopologyFault>) {
    for (index, lane) in lanes.iter().enumerate() {
        let (before, name) = (&lanes[..index], || lane.name.clone());
        if before.iter().any(|other| other.name == lane.name) {
            faults.push(TopologyFault::NameTwice { lane: index, name: name() });
        }
        if lane.stages.is_empty() {
            faults.push(TopologyFault::EmptyLane { lane: index, name: name() });
        }
        for (at, stage) in lane.stages.iter().enumerate() {
            let elsewhere = before.iter().find(|other| other.stages.contains(stage));
            let earlier = lane.stages[..at].contains(stage).then_some(lane);
            if let Some(first) = elsewhere.or(earlier) {
                let first = first.name.clone();
                faults.push(TopologyFault::StageTwice { stage: *stage, lane: index, name: name(), first });
            }
        }
        if lane.idle != Idle::Spin {
            continue;
        }
        let Some(core) = lane.core else {
            if lanes.len() > 1 {
                faults.push(TopologyFault::SpinsWithoutCore { lane: index, name: name() });
            }
            continue;
        };
        if let Some(first) = before.iter().find(|other| other.core == lane.core && other.idle == Idle::Spin) {
            let first = first.name.clone();
            faults.push(TopologyFault::CoreTwice { core, lane: index, name: name(), first });
        }
    }
}

fn check_links(lanes: &[LaneSpec], links: &[LinkSpec], faults: &mut Vec<TopologyFault>) {
    let runs = |stage: StageId| lanes.iter().any(|lane| lane.stages.contains(&stage));
    for link in links {
        if !runs(link.from) {
            faults.push(TopologyFault::NoProducer { link: link.name, stage: link.from });
        }
        if !runs(link.to) {
            faults.push(TopologyFault::NoConsumer { link: link.name, stage: link.to });
        }
    }
    let links = circle(links);
    if !links.is_empty() {
        faults.push(TopologyFault::Cycle { links });
    }
}

/// The gated links that lie on a circle or between two: what is left once links that begin or end a chain are taken away.
fn circle(links: &[LinkSpec]) -> Vec<&'static str> {
    let mut left: Vec<&LinkSpec> = links.iter().filter(|link| link.gated).collect();
    loop {
        let before = left.len();
        let chained: Vec<&LinkSpec> = left
            .iter()
            .filter(|link| {
                left.iter().any(|other| other.to == link.from) && left.iter().any(|other| other.from == link.to)
            })
            .copied()
            .collect();
        left = chained;
        if left.len() == before {
            return left.iter().map(|link| link.name).collect();
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
        let lane_width = widest(&mut self.lanes.iter().map(|lane| lane.name.chars().count()));
        let link_width = widest(&mut self.links.iter().map(|link| link.name.len()));
        writeln!(f, "lanes")?;
        for lane in &self.lanes {
            let core = lane.core.map_or_else(|| "any core".into(), |core| format!("core {core}"));
            let stages: Vec<&str> = lane.stages.iter().map(|stage| stage.as_str()).collect();
            let (name, idle, stages) = (&lane.name, lane.idle.name(), stages.join(" ─► "));
            writeln!(f, "  {name:lane_width$}  {core:8}  {idle:7}  {stages}")?;
        }
        writeln!(f, "links")?;
        for link in &self.links {
            let hop = match (self.lane_of(link.from), self.lane_of(link.to)) {
                (Some(from), Some(to)) if from != to => {
                    format!("lane {} to lane {}", self.lanes[from].name, self.lanes[to].name)
                }
                (Some(lane), _) | (None, Some(lane)) => format!("within lane {}", self.lanes[lane].name),
                (None, None) => String::new(),
            };
            let (name, gating) = (link.name, if link.gated { "gated" } else { "lossy" });
            let depth = match link.depth {
                Depth::Bytes(bytes) => format!("{bytes} bytes"),
                Depth::Entries(entries) => format!("{entries} entries"),
            };
            writeln!(f, "  {name:link_width$}  {:8} ─► {:8}  {depth:>16}  {gating}  {hop}", link.from, link.to)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StageId::{Cut, Ingest, Publish, Sequence};

    const INVOKE: StageId = StageId::Invoke(0);

    fn lane(name: &str, core: Option<usize>, idle: Idle, stages: &[StageId]) -> LaneSpec {
        LaneSpec { name: name.into(), core, idle, stages: stages.to_vec() }
    }

    fn link(name: &'static str, from: StageId, to: StageId, gated: bool) -> LinkSpec {
        LinkSpec { name, from, to, depth: Depth::Entries(8), gated }
    }

    fn faults(lanes: Vec<LaneSpec>, links: Vec<LinkSpec>) -> Vec<TopologyFault> {
        Topology::new(lanes, links).expect_err("refused")
    }

    #[test]
    fn a_fused_lane_follows_the_event_whatever_the_order_given() {
        let lanes = vec![lane("main", None, Idle::Backoff, &[Publish, Cut, Ingest, INVOKE, Sequence])];
        let topology = Topology::new(lanes, Vec::new()).expect("legal");
        assert_eq!(topology.lanes()[0].stages, StageId::ALL);
        assert_eq!(topology.lane_of(Cut), Some(0));
    }

    #[test]
    fn two_pinned_spinning_lanes_on_one_core_are_refused() {
        let lanes = |second: Idle, core: usize| {
            vec![lane("a", Some(3), Idle::Spin, &[Ingest]), lane("b", Some(core), second, &[Sequence])]
        };
        let fault = TopologyFault::CoreTwice { core: 3, lane: 1, name: "b".into(), first: "a".into() };
        assert_eq!(faults(lanes(Idle::Spin, 3), Vec::new()), [fault]);
        assert!(Topology::new(lanes(Idle::Spin, 4), Vec::new()).is_ok());
        assert!(Topology::new(lanes(Idle::Park, 3), Vec::new()).is_ok());
    }

    #[test]
    fn a_lane_without_a_core_may_spin_only_alone() {
        let spinning = || lane("a", None, Idle::Spin, &[Ingest]);
        assert!(Topology::new(vec![spinning()], Vec::new()).is_ok());
        let other = lane("b", Some(1), Idle::Park, &[Sequence]);
        let fault = TopologyFault::SpinsWithoutCore { lane: 0, name: "a".into() };
        assert_eq!(faults(vec![spinning(), other], Vec::new()), [fault]);
    }

    #[test]
    fn a_link_needs_both_ends() {
        let lanes = vec![lane("a", None, Idle::Park, &[Sequence, Cut])];
        let links = vec![
            link("receipts", Ingest, Sequence, true),
            link("cuts", Sequence, Cut, true),
            link("runs", Cut, INVOKE, false),
        ];
        let expected = [
            TopologyFault::NoProducer { link: "receipts", stage: Ingest },
            TopologyFault::NoConsumer { link: "runs", stage: INVOKE },
        ];
        assert_eq!(faults(lanes, links), expected);
    }

    #[test]
    fn a_circle_of_gated_links_is_refused_and_named_without_its_tails() {
        let all = || vec![lane("a", None, Idle::Park, &StageId::ALL)];
        let links = |gated_back: bool| {
            vec![
                link("in", Ingest, Sequence, true),
                link("there", Sequence, Cut, true),
                link("on", Cut, INVOKE, true),
                link("back", INVOKE, Sequence, gated_back),
                link("out", INVOKE, Publish, true),
            ]
        };
        assert_eq!(faults(all(), links(true)), [TopologyFault::Cycle { links: vec!["there", "on", "back"] }]);
        assert!(Topology::new(all(), links(false)).is_ok(), "a lossy link breaks it");
        let own = vec![link("self", Cut, Cut, true)];
        assert_eq!(faults(all(), own), [TopologyFault::Cycle { links: vec!["self"] }]);
    }

    #[test]
    fn stages_names_and_empty_lanes_are_checked_together() {
        let lanes = vec![
            lane("a", None, Idle::Park, &[Ingest, Ingest]),
            lane("a", None, Idle::Park, &[]),
            lane("c", None, Idle::Park, &[Ingest]),
        ];
        let twice =
            |lane, name: &str| TopologyFault::StageTwice { stage: Ingest, lane, name: name.into(), first: "a".into() };
        let expected = [
            twice(0, "a"),
            TopologyFault::NameTwice { lane: 1, name: "a".into() },
            TopologyFault::EmptyLane { lane: 1, name: "a".into() },
            twice(2, "c"),
        ];
        assert_eq!(faults(lanes, Vec::new()), expected);
    }

    #[test]
    fn cores_outside_the_mask_are_found() {
        let lanes = vec![lane("a", Some(0), Idle::Spin, &[Ingest]), lane("b", Some(7), Idle::Spin, &[Cut])];
        let topology = Topology::new(lanes, Vec::new()).expect("legal");
        assert_eq!(topology.cores_not_in(&[0, 1]), [("b", 7)]);
    }

    #[test]
    fn the_picture_names_everything() {
        let lanes = vec![lane("in", Some(0), Idle::Spin, &[Sequence, Ingest]), lane("run", None, Idle::Park, &[Cut])];
        let links = vec![link("receipts", Ingest, Sequence, true), link("cuts", Sequence, Cut, false)];
        let picture = Topology::new(lanes, links).expect("legal").to_string();
        let expected = "\
lanes
  in   core 0    spin     ingest ─► sequence
  run  any core  park     cut
links
  receipts  ingest   ─► sequence         8 entries  gated  within lane in
  cuts      sequence ─► cut              8 entries  lossy  lane in to lane run
";
        assert_eq!(picture, expected);
    }
}
