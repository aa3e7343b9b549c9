"""The decisions as CONTRACTS.md sections 2 and 4 define them, recomputed from the receipts and the planned times:
tick lattice, symbol sets, cut ranges, selection, counts, run ids. Compares the tick and started frames on the way."""
import bisect
import collections
import hashlib

from lines import check_order, differ, expect, is_int, lines

IDENTITY = ("symbol", "engine_timestamp_ms", "engine_mode", "cut_kind", "cut_start_ingest_seq", "cut_end_ingest_seq")


def valid_envelope(event):
    return (event.get("schema") == "raw_market_event" and event.get("schema_version") == "1"
            and all(isinstance(event.get(k), str) for k in ("event_type", "source_id", "symbol", "raw_payload"))
            and event["symbol"] and event["source_id"] and is_int(event.get("recv_ts_ms"))
            and "exchange_ts_ms" in event and (event["exchange_ts_ms"] is None or is_int(event["exchange_ts_ms"]))
            and isinstance(event.get("normalized"), dict))


class Inputs:
    """The receipts: ingest times by position, and per symbol what a cut needs of its events."""

    def __init__(self, path):
        self.times_ns, self.seqs, self.types, self.snapshots = [], {}, {}, {}
        for number, record in lines(path):
            where, seq, ns = f"inputs line {number}", record.get("ingest_seq"), record.get("ingest_ts_ns")
            expect(f"{where}: ingest_seq", len(self.times_ns) + 1, seq)
            if not is_int(ns) or (self.times_ns and ns < self.times_ns[-1]):
                differ(f"{where}: ingest_ts_ns", f"an integer >= {self.times_ns[-1:]}", ns)
                ns = self.times_ns[-1] if self.times_ns else 0
            expect(f"{where}: ingest_ts_ms", ns // 1_000_000, record.get("ingest_ts_ms"))
            self.times_ns.append(ns)
            event = record.get("event")
            if not isinstance(event, dict) or not valid_envelope(event):
                continue  # kept and counted, but without a symbol it is nobody's content
            symbol, seq = event["symbol"], len(self.times_ns)
            self.seqs.setdefault(symbol, []).append(seq)
            self.types.setdefault(symbol, []).append(event["event_type"])
            if event["event_type"] == "SnapshotInputs" and is_int(event["normalized"].get("timestamp_ms")):
                key = (symbol, event["normalized"]["timestamp_ms"])
                self.snapshots.setdefault(key, []).append((seq, event["normalized"].get("market")))

    def cut_end(self, planned_ms):
        return bisect.bisect_right(self.times_ns, planned_ms * 1_000_000)

    def counts(self, symbol, start, end):
        seqs = self.seqs[symbol]
        span = slice(bisect.bisect_left(seqs, start), bisect.bisect_right(seqs, end))
        return dict(collections.Counter(self.types[symbol][span]))

    def select(self, symbol, timestamp, start, end):
        """(seq, market) of the snapshot the engine gets, or None."""
        fitting = [s for s in self.snapshots.get((symbol, timestamp), []) if start <= s[0] <= end]
        return max(fitting, key=lambda s: s[0], default=None)


def first_planned(scheduler, now):
    if scheduler["mode"] == "timer":
        return now
    interval, delay = scheduler["interval_ms"], scheduler.get("delay_ms") or 0
    return (max(now - delay, 0) // interval + 1) * interval + delay


def check_planned(where, scheduler, planned, last, restarted, first_now):
    """The lattice. After a restart or reload a timer, or a changed cadence, may start anew, but only later."""
    interval, delay = scheduler["interval_ms"], scheduler.get("delay_ms") or 0
    if scheduler["mode"] == "boundary" and ((planned - delay) % interval or planned - delay < interval):
        differ(f"{where}: planned_ts_ms", f"a positive multiple of {interval} plus {delay}", planned)
    if last is None:
        if first_now is not None:
            expect(f"{where}: first planned_ts_ms", first_planned(scheduler, first_now), planned)
    elif not restarted:
        expect(f"{where}: planned_ts_ms", last + interval, planned)
    elif planned <= last:
        differ(f"{where}: planned_ts_ms", f"> {last}", planned)


def symbols_at(inputs, settings, cut_end):
    """Symbols that get a run, in byte order: seen, at most max of them, in order of appearance."""
    chosen = settings.get("list") if settings.get("mode") == "list" else None
    seen = [s for s, seqs in inputs.seqs.items() if seqs[0] <= cut_end and (chosen is None or s in chosen)]
    limit = settings.get("max")
    return sorted(seen if limit is None else seen[:limit], key=lambda s: s.encode("utf-8", "surrogatepass"))


def run_id_of(symbol, timestamp, cut_end, mode):
    return hashlib.sha256(f"{symbol}|{timestamp}|{cut_end}|{mode}".encode("utf-8", "surrogatepass")).hexdigest()


def decide(frames, inputs, given):
    """Recomputes every decision from inputs and the planned times; returns the runs in order and the restarts."""
    config, runs, ends, last, fresh, known, configs, ticks = given, {}, {}, None, False, None, 0, 0
    for number, frame in frames:
        where, kind = f"runs line {number} ({frame.get('frame')})", frame.get("frame")
        if kind == "config":
            config = {k: frame.get(k) for k in ("scheduler", "symbols", "engine")}
            if configs == 0:
                for section in config.keys() & given.keys():
                    for key, value in given[section].items():
                        expect(f"{where}: {section}.{key}", value, config[section].get(key))
            fresh = configs > 0 and (config["scheduler"] != known or config["scheduler"]["mode"] == "timer")
            known, configs = config["scheduler"], configs + 1
        elif kind == "ticks_skipped":
            first, to, interval = frame["from_planned_ts_ms"], frame["to_planned_ts_ms"], config["scheduler"]["interval_ms"]
            check_planned(where, config["scheduler"], first, last, fresh, None)
            expect(f"{where}: count", (to - first) // interval + 1, frame.get("count"))
            expect(f"{where}: to_planned_ts_ms on the lattice", 0, (to - first) % interval)
            last, fresh = to, False
        elif kind == "tick":
            planned, scheduler, mode = frame["planned_ts_ms"], config["scheduler"], config["engine"]["mode"]
            check_planned(where, scheduler, planned, last, fresh, given.get("first_now_ms"))
            last, fresh, ticks = planned, False, ticks + 1
            timestamp = planned - ((scheduler.get("delay_ms") or 0) if scheduler["mode"] == "boundary" else 0)
            end, made, skipped = inputs.cut_end(planned), 0, 0
            for symbol in symbols_at(inputs, config.get("symbols") or {}, end):
                start = ends[symbol] + 1 if symbol in ends else inputs.seqs[symbol][0]
                if start > end:
                    skipped += 1
                    continue
                run_id = run_id_of(symbol, timestamp, end, mode)
                runs[run_id] = dict(
                    run_id=run_id, symbol=symbol, engine_timestamp_ms=timestamp, engine_mode=mode,
                    cut_kind=scheduler["mode"], cut_start_ingest_seq=start, cut_end_ingest_seq=end, planned_ts_ms=planned,
                    engine=config["engine"], counts=inputs.counts(symbol, start, end),
                    chosen=inputs.select(symbol, timestamp, start, end))
                ends[symbol], made = end, made + 1
            for field, value in (("engine_timestamp_ms", timestamp), ("cut_end_ingest_seq", end), ("runs", made),
                                 ("skipped", skipped)):
                expect(f"{where} planned {planned}: {field}", value, frame.get(field))
    return runs, max(configs - 1, 0), ticks


def check_started(frames, runs, restarts):
    order = {}
    for number, frame in frames:
        if frame.get("frame") != "started":
            continue
        run_id = frame.get("run_id")
        if run_id not in runs:
            differ(f"runs line {number} (started): run_id", "the id of a run of its tick", run_id)
            continue
        if run_id not in order:
            order[run_id] = number
        elif not restarts:  # only a restart starts a run without outcome again
            differ(f"runs line {number} (started): run_id", f"once, and it was on line {order[run_id]}", run_id)
        for field in (*IDENTITY, "planned_ts_ms"):
            expect(f"runs line {number} (started) {run_id[:12]}: {field}", runs[run_id][field], frame.get(field))
    check_order("started frames", list(runs), list(order))
