//! Why lanes and links cannot work together, for people: what, where and what to do next. A plain value.

use std::fmt;

use super::StageId;

/// Why lanes and links cannot work together. Lanes are given by name and by index in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopologyFault {
    /// A lane has nothing to poll.
    EmptyLane {
        /// The lane's index.
        lane: usize,
        /// Its name.
        name: String,
    },
    /// Two lanes have the same name, so that counters could not tell them apart.
    NameTwice {
        /// Index of the second of them.
        lane: usize,
        /// The name.
        name: String,
    },
    /// A stage is on more than one lane, or twice on one.
    StageTwice {
        /// The stage.
        stage: StageId,
        /// Index of the second lane that has it.
        lane: usize,
        /// That lane's name.
        name: String,
        /// Name of the first lane that has it.
        first: String,
    },
    /// Two pinned lanes spin on one core: each would wait for the other's time slice.
    CoreTwice {
        /// The core.
        core: usize,
        /// Index of the second lane.
        lane: usize,
        /// Its name.
        name: String,
        /// Name of the first lane.
        first: String,
    },
    /// A lane spins without a core of its own beside other lanes: it may starve them.
    SpinsWithoutCore {
        /// The lane's index.
        lane: usize,
        /// Its name.
        name: String,
    },
    /// Nobody writes a link: its consumer would wait for ever.
    NoProducer {
        /// The link.
        link: &'static str,
        /// The stage that should write it and is on no lane.
        stage: StageId,
    },
    /// Nobody reads a link: once full it would stop its producer for ever.
    NoConsumer {
        /// The link.
        link: &'static str,
        /// The stage that should read it and is on no lane.
        stage: StageId,
    },
    /// Gated links form a circle: once all are full, each stage waits for the next.
    Cycle {
        /// The links of the circle (or circles), in list order.
        links: Vec<&'static str>,
    },
}

impl TopologyFault {
    /// Index of the lane to change, if the fault lies in one.
    #[must_use]
    pub const fn lane(&self) -> Option<usize> {
        match self {
            Self::EmptyLane { lane, .. }
            | Self::NameTwice { lane, .. }
            | Self::StageTwice { lane, .. }
            | Self::CoreTwice { lane, .. }
            | Self::SpinsWithoutCore { lane, .. } => Some(*lane),
            Self::NoProducer { .. } | Self::NoConsumer { .. } | Self::Cycle { .. } => None,
        }
    }

    /// The key of the lane to change, empty if the fault lies in none.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::EmptyLane { .. } | Self::StageTwice { .. } => "stages",
            Self::NameTwice { .. } => "name",
            Self::CoreTwice { .. } => "core",
            Self::SpinsWithoutCore { .. } => "idle",
            Self::NoProducer { .. } | Self::NoConsumer { .. } | Self::Cycle { .. } => "",
        }
    }

    /// What to do about it, a sentence.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::EmptyLane { .. } => "Give it a stage or remove it.".into(),
            Self::NameTwice { .. } => "Rename one of them.".into(),
            Self::StageTwice { stage, .. } => format!("Leave \"{stage}\" on one lane."),
            Self::CoreTwice { .. } => "Give each its own core, or put their stages on one lane.".into(),
            Self::SpinsWithoutCore { .. } => "Set core, or idle = \"yield\", \"backoff\" or \"park\".".into(),
            Self::NoProducer { stage, .. } | Self::NoConsumer { stage, .. } => format!("Put \"{stage}\" on a lane."),
            Self::Cycle { .. } => "Make one of them lossy or remove it.".into(),
        }
    }
}

impl fmt::Display for TopologyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyLane { name, .. } => write!(f, "lane {name:?} has no stage"),
            Self::NameTwice { name, .. } => write!(f, "two lanes are called {name:?}"),
            Self::StageTwice { stage, name, first, .. } if name == first => {
                write!(f, "stage \"{stage}\" is twice on lane {name:?}")
            }
            Self::StageTwice { stage, name, first, .. } => {
                write!(f, "stage \"{stage}\" is on lane {name:?} and on lane {first:?}")
            }
            Self::CoreTwice { core, name, first, .. } => {
                write!(f, "lanes {first:?} and {name:?} both spin on core {core}")
            }
            Self::SpinsWithoutCore { name, .. } => {
                write!(f, "lane {name:?} spins without a core of its own beside other lanes")
            }
            Self::NoProducer { link, stage } => {
                write!(f, "link \"{link}\" has no producer: stage \"{stage}\" is on no lane")
            }
            Self::NoConsumer { link, stage } => {
                write!(f, "link \"{link}\" has no consumer: stage \"{stage}\" is on no lane")
            }
            Self::Cycle { links } => write!(f, "gated links form a circle: {}", links.join(", ")),
        }
    }
}

impl std::error::Error for TopologyFault {}
