//! Every counter and histogram of the product: name, unit, help. `cutline stat`, `top` and metrics read them from the cnc
//! file and know them from here alone.

use cutline_shm::counters::{CounterDef, Kind};

macro_rules! table {
    ($($id:ident $kind:ident $name:literal $unit:literal $help:literal;)+) => {
        $(#[doc = $help] pub const $id: CounterDef = CounterDef { name: $name, unit: $unit, help: $help, kind: Kind::$kind };)+
        /// All of them, in the order of the event.
        pub const ALL: &[CounterDef] = &[$($id),+];
    };
}

table! {
    INGEST_LINES Counter "ingest_lines" "receipts" "Lines and records taken from feeds, undecoded ones included.";
    INGEST_BYTES Counter "ingest_bytes" "bytes" "Bytes received from all feeds.";
    INGEST_CONNECTIONS Gauge "ingest_connections" "connections" "Sockets open now.";
    INGEST_REFUSED Counter "ingest_connections_refused" "connections" "Connections closed at once because ingest.connections_max were open.";
    INGEST_RECONNECTS Counter "ingest_reconnects" "connections" "Connections of a connecting feed after its first.";
    INPUTS_RECEIPTS Counter "inputs_receipts" "receipts" "Receipts appended to the inputs log.";
    INPUTS_BY_TYPE Counter "inputs_receipts_by_type" "receipts" "Receipts appended, by source and event type.";
    INPUTS_UNDECODED Counter "inputs_undecoded" "receipts" "Receipts that are no v1 envelope, by source and error_kind; they are kept as DecodeFailure.";
    INPUTS_BYTES Counter "inputs_payload_bytes" "bytes" "Payload of receipts appended to the inputs log.";
    INPUTS_CLAMPED Counter "inputs_clamped" "receipts" "Receipts whose recv_ts_ms went back and were stamped with the time before (backfill).";
    INPUTS_OVER_MAX Counter "inputs_symbols_over_max" "receipts" "Receipts of symbols beyond symbols.max; they are kept and get no runs.";
    INPUTS_HELD_BACK Gauge "inputs_held_back" "flag" "1 while receipts are held back because the inputs log is at log.capacity_bytes.";
    BUFFER_DEPTH Gauge "buffer_depth_bytes" "bytes" "Bytes of a log that are visible and not yet on disk.";
    BUFFER_AGE Gauge "buffer_age" "ns" "How long the oldest of those bytes have been waiting.";
    LOG_KEPT Gauge "log_kept_bytes" "bytes" "Bytes of a log that are kept, from the oldest segment to its end.";
    LOG_OLDEST Gauge "log_oldest" "bytes" "Position of the oldest byte of a log that is kept: what lay before was given up by retention.";
    APPEND_FAILURES Counter "log_faults" "faults" "Times that the keeper could not prepare or flush a log.";
    LOG_FAILING Gauge "log_failing" "flag" "1 while the keeper (log) or the checkpointer (checkpoint) cannot do its work.";
    CUT_TICKS Counter "cut_ticks" "ticks" "Ticks decided.";
    CUT_RUNS Counter "cut_runs" "runs" "Runs started.";
    CUT_SKIPPED Counter "cut_skipped_empty" "runs" "Symbols without a run because nothing had arrived from anyone.";
    CUT_LAG Gauge "cut_tick_lag" "ns" "How long after its planned time the last tick was decided.";
    CUT_SYMBOLS Gauge "cut_symbols" "symbols" "Symbols seen.";
    CUT_LATE Counter "snapshot_late" "receipts" "SnapshotInputs that arrived after their run was cut.";
    CUT_LATENESS Gauge "snapshot_lateness" "ns" "How long after its tick was planned a late SnapshotInputs arrived, by source.";
    ENGINE_CALLS Counter "engine_calls" "calls" "Engine calls.";
    ENGINE_RETRIES Counter "engine_retries" "calls" "Engine calls after a failed one.";
    ENGINE_PROCESSES Gauge "engine_processes_ready" "processes" "Engine processes that are ready; 1 for an engine on the lane.";
    ENGINE_DEATHS Counter "engine_deaths" "processes" "Engine processes that ended without having been asked to.";
    ENGINE_RESTARTS Counter "engine_restarts" "processes" "Engine processes started after the first ones.";
    ENGINE_TIMEOUTS Counter "engine_timeouts" "calls" "Engine calls without an answer in time.";
    ENGINE_OPEN Gauge "engine_breaker_open" "0 or 1" "Whether engine calls fail at once, after too many deaths in a row.";
    RUNS_OUTCOME Counter "runs_by_outcome" "runs" "Finished runs, by completed or error_kind.";
    RUN_DURATION Gauge "run_duration" "ns" "From the first engine call of a run to its end.";
    PUBLISH_EVENTS Counter "publish_events" "events" "Events published, by type.";
    PUBLISH_LATENCY Gauge "publish_latency" "ns" "From a tick's planned time to its run being visible.";
    PUBLISH_BLOCKED_TIME Gauge "publish_blocked_time" "ns" "How long publishing has been blocked now.";
    STAGE_ITEMS Counter "stage_items" "items" "Items that a stage worked on.";
    STAGE_WORKED Counter "stage_worked_polls" "polls" "Polls in which a stage worked on something.";
    STAGE_BLOCKED Counter "stage_blocked_polls" "polls" "Polls in which what a stage had to hand on found no room.";
    STAGE_TIME Gauge "stage_time" "ns" "Time per item that a stage worked on, by stage; only with measure.stage_times.";
    LINK_USED Gauge "link_used_bytes" "bytes" "Bytes of a link that its reader has not given back, looked at a hundred times a second; up to a quarter may have been read.";
    LINK_CAPACITY Gauge "link_capacity_bytes" "bytes" "Bytes that a link holds before it is full.";
    LANE_BUSY Counter "lane_busy_cycles" "cycles" "Cycles in which some stage worked.";
    LANE_IDLE Counter "lane_idle_cycles" "cycles" "Cycles without work.";
    LANE_BLOCKED Counter "lane_blocked_cycles" "cycles" "Cycles in which work was waiting for room.";
    LANE_LONGEST Gauge "lane_longest_cycle" "ns" "Longest working cycle.";
    LANE_CYCLE Gauge "lane_recent_cycle" "ns" "Longest working cycle of the last whole second.";
    LANE_STALLS Counter "lane_stalls" "cycles" "Working cycles longer than a millisecond.";
    THREAD Gauge "thread" "id" "The kernel's id of the thread of a lane, or of the keeper: /proc/PID/task/ID.";
    NOTICES_DROPPED Counter "notices_dropped" "notices" "Notices of a stage that nobody took; each was one line for people.";
    VERIFY_THROUGH Gauge "verified_through_seq" "receipts" "Every tick whose cut ends with this ingest_seq or before is verified; of `verify --follow`.";
    VERIFY_RUNS Counter "verify_runs" "runs" "Runs that were recomputed and found identical; of `verify --follow`.";
    VERIFY_TAKEN Counter "verify_taken" "runs" "Outcomes that were taken as recorded; of `verify --follow`.";
    VERIFY_PENDING Gauge "verify_pending" "runs" "Runs whose outcome is not there yet; of `verify --follow`.";
    CLOCK_AHEAD Gauge "clock_difference" "ns" "Size of the difference between real time and the pipeline's clock.";
}
