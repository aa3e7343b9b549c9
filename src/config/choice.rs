//! Keys whose value is one of a few words. Plain enums; each word is written once, here.

use cutline_ring::idle::Idle;

use crate::plane::topology::StageId;

/// A key whose value is one of a few words.
pub trait Choice: Copy + Sized + 'static {
    /// Every word with its value, in the order the manual names them.
    const WORDS: &'static [(&'static str, Self)];

    /// The value a word stands for.
    #[must_use]
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];
        }

        impl $name {
            /// The word the config uses for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
choice! {
    /// How ticks are planned (CONTRACTS section 4).
    Cadence {
        /// First tick at start, then one per interval; the engine timestamp is the planned instant.
        Timer = "timer",
        /// Ticks lie `delay_ms` after the multiples of the interval; the engine timestamp is the multiple.
        Boundary = "boundary",
    }
}

choice! {
    /// What happens after a restart to ticks that fell due while the process was down.
    CatchUp {
        /// They run back to back, at most `catch_up_max_ticks` of them.
        Run = "run",
        /// They are skipped, recorded in one frame.
        Skip = "skip",
    }
}

choice! {
    /// Which symbols get a run at a tick.
    SymbolMode {
        /// Every symbol with a valid receipt at or before the cut's end.
        Seen = "seen",
        /// The configured list.
        List = "list",
    }
}

choice! {
    /// The engines that come with this build.
    BuiltIn {
        /// Echoes the script inside the snapshot: the engine of the golden cases.
        Scripted = "scripted",
        /// The example regime engine with hysteresis v1.
        RegimeExample = "regime-example",
    }
}

choice! {
    /// Where the engine works.
    EnginePlace {
        /// On the invoke stage's lane.
        Lane = "lane",
        /// In a process of its own.
        Process = "process",
    }
}

choice! {
    /// What becomes of a state that an engine with another digest has made.
    OtherState {
        /// It is handed to the engine as it is.
        Keep = "keep",
        /// The symbol begins without a state.
        Reset = "reset",
    }
}

choice! {
    /// When a module is started.
    StartMode {
        /// With the system.
        Eager = "eager",
        /// When something that needs it is started, or somebody asks for it.
        Lazy = "lazy",
    }
}

choice! {
    /// What is said on standard error.
    LogLevel {
        /// Everything.
        Info = "info",
        /// What is wrong.
        Warning = "warning",
    }
}

choice! {
    /// What is done when a module fails.
    RecoveryStrategy {
        /// It is started again.
        Restart = "restart",
        /// It is started again, and told to begin without what it has kept.
        Reset = "reset",
        /// The system goes on without it.
        Degrade = "degrade",
        /// The whole system is restarted, its state saved.
        System = "system",
        /// Nothing: a person decides.
        Manual = "manual",
    }
}

choice! {
    /// How the engine is called.
    EngineMode {
        /// `run(snapshot)`, no state.
        Truth = "truth",
        /// `run_with_hysteresis(snapshot, state, config)`.
        Hysteresis = "hysteresis",
    }
}

choice! {
    /// When an outcome may be seen by followers.
    Durability {
        /// Once it is committed in shared memory.
        Visible = "visible",
        /// Once it is on disk.
        Durable = "durable",
    }
}

choice! {
    /// The order in which outcomes are committed.
    PublishOrder {
        /// Run order: outputs are byte-identical under any topology.
        Run = "run",
        /// As they end: in order for each symbol, and none that has ended waits for another symbol.
        Symbol = "symbol",
    }
}

choice! {
    /// Where a feed's bytes come from.
    FeedKind {
        /// A TCP socket.
        Tcp = "tcp",
        /// A Unix stream socket.
        Unix = "unix",
        /// A file, read once from start to end.
        File = "file",
        /// Standard input.
        Stdin = "stdin",
    }
}

choice! {
    /// How receipts are framed in a feed.
    FeedFormat {
        /// One JSON object per line.
        Ndjson = "ndjson",
        /// The binary form of RawMarketEvent v1.
        Binary = "binary",
    }
}

impl Choice for StageId {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::Ingest.as_str(), Self::Ingest),
        (Self::Sequence.as_str(), Self::Sequence),
        (Self::Cut.as_str(), Self::Cut),
        (Self::Invoke(0).as_str(), Self::Invoke(0)),
        (Self::Invoke(1).as_str(), Self::Invoke(1)),
        (Self::Invoke(2).as_str(), Self::Invoke(2)),
        (Self::Invoke(3).as_str(), Self::Invoke(3)),
        (Self::Invoke(4).as_str(), Self::Invoke(4)),
        (Self::Invoke(5).as_str(), Self::Invoke(5)),
        (Self::Invoke(6).as_str(), Self::Invoke(6)),
        (Self::Invoke(7).as_str(), Self::Invoke(7)),
        (Self::Publish.as_str(), Self::Publish),
    ];
}

impl Choice for Idle {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::Spin.name(), Self::Spin),
        (Self::Yield.name(), Self::Yield),
        (Self::Backoff.name(), Self::Backoff),
        (Self::Park.name(), Self::Park),
    ];
}
