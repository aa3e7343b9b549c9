//! Live feeds of every kind: what was sent is in the inputs log, in order for each connection, with its bytes; what is broken is
//! kept as DecodeFailure, and the connection lives on.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread;

use common::events::{line, now_ms, received, refused, snapshot, trade};
use common::live::Running;
use common::{Place, binary, config, connect, succeed, wait_until};
use serde_json::{Value, json};

/// As the tests' configuration sets it.
const LINE_MAX_BYTES: usize = 32_768;

/// A place with a configuration that has this feed (TOML lines), and its data directory.
fn feed(text: &str) -> (Place, String, String) {
    let place = Place::new();
    let data = place.path("data");
    let text = text.replace("PLACE", place.dir.path().to_str().expect("UTF-8"));
    let more = format!("dir = \"{data}\"\n[ingest.retry]\nmin_delay_ms = 5\nmax_delay_ms = 40\n[[feed]]\n{text}\n");
    let config = config(&place, "feeds", &more);
    (place, config, data)
}

/// An address of this machine that nothing listens on.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").to_string()
}

/// Where its feed listens, as it says: with the port that it was given for port 0.
fn listens_at(running: &Running) -> String {
    let told = |said: &str| said.lines().find_map(|line| line.strip_prefix("feed ticks: tcp ").map(str::to_owned));
    wait_until("it says where it listens", || told(&running.said()).is_some());
    told(&running.said()).expect("waited for")
}

fn connect_tcp(address: &str) -> TcpStream {
    let mut connected = None;
    wait_until("somebody listens", || {
        connected = TcpStream::connect(address).ok();
        connected.is_some()
    });
    let stream = connected.expect("waited for");
    stream.set_nodelay(true).expect("a socket");
    stream
}

fn verified(data: &str) {
    assert!(succeed(&["verify", data]).starts_with("identical: "));
}

/// Whether the stored inputs log holds these bytes as they are.
fn is_stored(data: &str, bytes: &[u8]) -> bool {
    let files = fs::read_dir(format!("{data}/inputs")).expect("the inputs log");
    files
        .map(|file| fs::read(file.expect("an entry").path()).expect("readable"))
        .any(|file| file.windows(bytes.len()).any(|window| window == bytes))
}

/// What one connection sends: good lines and every kind of bad one, with what is to be received for each.
fn mixed(symbol: &str, numbers: std::ops::Range<u64>) -> (Vec<u8>, Vec<Value>) {
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for number in numbers {
        let event = trade(symbol, number);
        let (sent, seen) = match number % 50 {
            10 => (format!("garbage {symbol} {number}").into_bytes(), "decode_error"),
            20 => (event.to_string().replace("\"symbol\"", "\"simbol\"").into_bytes(), "missing_required_field"),
            30 => (event.to_string().replace("\"1\"", "\"2\"").into_bytes(), "schema_mismatch"),
            40 => (event.to_string().replace("\"recv_ts_ms\":", "\"recv_ts_ms\":0.").into_bytes(), "parse_error"),
            45 => (format!("{symbol} {number} {}", "x".repeat(LINE_MAX_BYTES)).into_bytes(), "decode_error"),
            _ => (event.to_string().into_bytes(), ""),
        };
        expected.push(match seen {
            "" => event,
            // A line that names its source counts for it, any other for its feed.
            kind => {
                let source = if matches!(number % 50, 10 | 45) { "ticks" } else { "venue" };
                refused(source, kind, &sent[..sent.len().min(LINE_MAX_BYTES)])
            }
        });
        bytes.extend(sent);
        bytes.push(b'\n');
    }
    (bytes, expected)
}

/// The events of one connection, which all hold its symbol's name, in their order.
fn of_connection<'a>(events: &'a [Value], expected: &[Value]) -> Vec<&'a Value> {
    events.iter().filter(|event| expected.contains(event)).collect()
}

#[test]
fn tcp_connections_at_once_keep_order_and_bytes_whatever_they_send() {
    let (place, config, data) = feed("kind = \"tcp\"\nname = \"ticks\"\nlisten = \"127.0.0.1:0\"");
    let running = Running::start(&place, &config, &data);
    let address = listens_at(&running);
    let senders: Vec<_> = (0..4)
        .map(|sender: usize| {
            let mut stream = connect_tcp(&address);
            thread::spawn(move || {
                let (bytes, expected) = mixed(&format!("C{sender}"), 0..200);
                // Pieces that end anywhere but where a line does, in sizes that differ from sender to sender.
                for piece in bytes.chunks([101, 997, 4099, 65_537][sender]) {
                    stream.write_all(piece).expect("it reads");
                }
                expected
            })
        })
        .collect();
    let sent: Vec<Vec<Value>> = senders.into_iter().map(|sender| sender.join().expect("sent")).collect();
    running.wait_for("inputs_receipts", 4 * 200);
    running.wait_for("inputs_undecoded", 4 * 4 * 5);
    running.stop();

    let events = received(&data);
    assert_eq!(events.len(), 4 * 200);
    for expected in &sent {
        assert!(of_connection(&events, expected).into_iter().eq(expected), "another order or other bytes");
    }
    verified(&data);
}

#[test]
fn an_over_long_line_keeps_its_true_length() {
    let (place, config, data) = feed("kind = \"unix\"\nlisten = \"PLACE/feed.sock\"");
    let running = Running::start(&place, &config, &data);
    let mut stream = connect(&place.path("feed.sock"));
    stream.write_all(&vec![b'y'; 1_000_000]).expect("it reads");
    stream.write_all(&[b"\n", &line(&trade("AFTER", 1))[..]].concat()).expect("it lives on");
    running.wait_for("inputs_receipts", 2);
    running.stop();
    let dump = succeed(&["dump", &data, "inputs", "--to-seq", "1"]);
    assert!(dump.contains("line of 1000000 bytes exceeds ingest.line_max_bytes, first 32768 kept"), "{dump:.300}");
    assert_eq!(received(&data)[1]["symbol"], "AFTER");
}

#[test]
fn bytes_that_json_does_not_need_are_kept_as_they_came() {
    let (place, config, data) = feed("kind = \"unix\"\nlisten = \"PLACE/feed.sock\"");
    let running = Running::start(&place, &config, &data);
    let mut stream = connect(&place.path("feed.sock"));
    let odd =
        trade("ODD", 1).to_string().replacen('{', "{ \"own\" : [1.50, 1E2, \"\\u00e9\\/\"] ,\t\"symbol\":\"lost\",", 1);
    stream.write_all(format!("{odd}\r\n").as_bytes()).expect("it reads");
    stream.write_all(b"\n\xff\xfe\n\xef\xbb\xbf{}\n").expect("it reads");
    running.wait_for("inputs_receipts", 4);
    running.stop();
    let events = received(&data);
    assert_eq!((&events[0]["symbol"], &events[0]["own"]), (&json!("ODD"), &json!([1.5, 100.0, "\u{e9}/"])));
    assert_eq!(events[1], refused("unix-0", "decode_error", b""));
    assert_eq!(events[2], refused("unix-0", "decode_error", b"\xff\xfe"));
    assert_eq!(events[3], refused("unix-0", "decode_error", b"\xef\xbb\xbf{}"));
    assert!(is_stored(&data, odd.as_bytes()), "the line itself is in the log");
    verified(&data);
}

#[test]
fn a_connection_that_ends_inside_of_a_line_keeps_the_rest_and_may_come_again() {
    let (place, config, data) = feed("kind = \"unix\"\nlisten = \"PLACE/feed.sock\"");
    let running = Running::start(&place, &config, &data);
    let (first, second) = (trade("A", 1), trade("A", 2));
    let half = &line(&second)[..40];
    let mut stream = connect(&place.path("feed.sock"));
    stream.write_all(&[&line(&first), half].concat()).expect("it reads");
    drop(stream);
    running.wait_for("inputs_receipts", 2);
    let mut again = connect(&place.path("feed.sock"));
    again.write_all(&line(&second)).expect("it reads");
    running.wait_for("inputs_receipts", 3);
    running.stop();
    assert_eq!(received(&data), [first, refused("unix-0", "decode_error", half), second]);
    verified(&data);
}

/// What a test's server of a connecting feed serves: an accepted connection.
type Accepted = Box<dyn Write>;

/// A connecting feed's server that hands out one connection and is gone again, six times.
fn serve_again_and_again(place: &Place, config: &str, data: &str, mut accept: impl FnMut() -> Accepted) {
    let running = Running::start(place, config, data);
    let mut expected = Vec::new();
    for number in 0..6 {
        // Each time the server is new, and gone before the next.
        let mut stream = accept();
        expected.push(trade("FAR", number));
        stream.write_all(&line(&expected[expected.len() - 1])).expect("it reads");
        drop(stream);
        running.wait_for("inputs_receipts", number + 1);
    }
    assert_eq!(running.counter("ingest_reconnects"), 5);
    let said = running.stop();
    assert!(said.contains("feed far"), "a lost connection is told: {said}");
    assert_eq!(received(data), expected);
    verified(data);
}

#[test]
fn a_connecting_tcp_feed_comes_again_when_its_server_does() {
    let address = free_address();
    let (place, config, data) = feed(&format!("kind = \"tcp\"\nname = \"far\"\nconnect = \"{address}\""));
    serve_again_and_again(&place, &config, &data, || {
        let (stream, _) = TcpListener::bind(&address).and_then(|server| server.accept()).expect("it calls");
        Box::new(stream)
    });
}

#[test]
fn a_connecting_unix_feed_comes_again_when_its_server_does() {
    let (place, config, data) = feed("kind = \"unix\"\nname = \"far\"\nconnect = \"PLACE/server.sock\"");
    let socket = place.path("server.sock");
    serve_again_and_again(&place, &config, &data, || {
        let (stream, _) = UnixListener::bind(&socket).and_then(|server| server.accept()).expect("it calls");
        fs::remove_file(&socket).expect("its socket");
        Box::new(stream)
    });
}

#[test]
fn a_source_that_stays_away_is_called_by_the_schedule_and_then_given_up() {
    let address = free_address();
    let (place, config, data) = feed(&format!("kind = \"tcp\"\nname = \"gone\"\nconnect = \"{address}\""));
    let args = ["run", "--config", &config, "--set", "ingest.retry.max_attempts=3"];
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    wait_until("it is given up", || running.reason().contains("gone"));
    let said = running.stop();
    let attempts = |number: u32| said.matches(&format!("(attempt {number})")).count();
    assert_eq!((attempts(1), attempts(2), attempts(3), attempts(4)), (1, 1, 1, 0), "{said}");
}

#[test]
fn standard_input_is_a_feed_and_its_end_is_not_the_end() {
    let (place, config, data) = feed("kind = \"stdin\"");
    let mut running = Running::start_with(&place, &data, &["run", "--config", &config], Stdio::piped());
    let mut stdin = running.stdin();
    let events = [trade("IN", 1), trade("IN", 2)];
    stdin.write_all(&line(&events[0])).expect("it reads");
    running.wait_for("inputs_receipts", 1);
    // The last line has no end of line: it is a line all the same.
    stdin.write_all(events[1].to_string().as_bytes()).expect("it reads");
    drop(stdin);
    running.wait_for("inputs_receipts", 2);
    running.stop();
    assert_eq!(received(&data), events);
    verified(&data);
}

#[test]
fn a_file_is_a_feed_that_is_read_once() {
    let (place, config, data) = feed("kind = \"file\"\npath = \"PLACE/receipts.jsonl\"\nname = \"ticks\"");
    let (bytes, expected) = mixed("F", 0..300);
    fs::write(place.path("receipts.jsonl"), bytes).expect("writable");
    let running = Running::start(&place, &config, &data);
    running.wait_for("inputs_receipts", 300);
    running.stop();
    assert_eq!(received(&data), expected);
    verified(&data);
}

/// Sends good records and broken ones whose length is sound.
fn send_records(mut stream: impl Write, running: &Running, data: &str) {
    let mut unknown = trade("BIN", 1);
    unknown["event_type"] = "VenueHeartbeat".into();
    unknown["exchange_ts_ms"] = 1_767_225_600_000_i64.into();
    let mut wrong = trade("BIN", 2);
    wrong["normalized"] = json!([1]);
    let good = [trade("BIN", 0), unknown, snapshot("BIN", now_ms(), &json!({"raise": "no"})), trade("BIN", 3)];
    let mut other_version = binary::record(&good[0]);
    other_version[6] = 9;
    let mut reserved = binary::record(&good[0]);
    reserved[29] = 1;
    let sent = [
        binary::record(&good[0]),
        binary::record(&good[1]),
        other_version.clone(),
        binary::record(&good[2]),
        reserved.clone(),
        binary::record(&wrong),
        binary::record(&good[3]),
    ];
    for piece in sent.concat().chunks(37) {
        stream.write_all(piece).expect("it reads");
    }
    running.wait_for("inputs_receipts", 7);
    let expected = [
        good[0].clone(),
        good[1].clone(),
        refused("bin", "schema_mismatch", &other_version),
        good[2].clone(),
        refused("bin", "decode_error", &reserved),
        refused("venue", "parse_error", &sent[5]),
        good[3].clone(),
    ];
    assert_eq!(received(data), expected);
}

#[test]
fn the_binary_form_over_a_unix_socket() {
    let (place, config, data) =
        feed("kind = \"unix\"\nname = \"bin\"\nlisten = \"PLACE/feed.sock\"\nformat = \"binary\"");
    let running = Running::start(&place, &config, &data);
    send_records(connect(&place.path("feed.sock")), &running, &data);
    running.stop();
    assert!(is_stored(&data, &binary::record(&received(&data)[0])), "the record itself is in the log");
    verified(&data);
}

#[test]
fn the_binary_form_over_tcp() {
    let address = free_address();
    let (place, config, data) =
        feed(&format!("kind = \"tcp\"\nname = \"bin\"\nlisten = \"{address}\"\nformat = \"binary\""));
    let running = Running::start(&place, &config, &data);
    send_records(connect_tcp(&address), &running, &data);
    running.stop();
    verified(&data);
}

#[test]
fn bytes_that_are_no_record_are_kept_and_end_their_connection_alone() {
    let (place, config, data) =
        feed("kind = \"unix\"\nname = \"bin\"\nlisten = \"PLACE/feed.sock\"\nformat = \"binary\"");
    let running = Running::start(&place, &config, &data);
    let mut other: UnixStream = connect(&place.path("feed.sock"));
    let mut broken = connect(&place.path("feed.sock"));
    let event = trade("BIN", 0);
    broken.write_all(&[&binary::record(&event)[..], b"GET / HTTP/1.1\r\n"].concat()).expect("it reads");
    let mut answer = [0];
    assert_eq!(broken.read(&mut answer).ok(), Some(0), "closed");
    other.write_all(&binary::record(&event)).expect("the other one lives on");
    running.wait_for("inputs_receipts", 3);
    let said = running.stop();
    assert!(said.contains("feed bin") && said.contains("binary record"), "{said}");
    assert_eq!(received(&data), [event.clone(), refused("bin", "decode_error", b"GET / HTTP/1.1\r\n"), event]);
    verified(&data);
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once_and_counted() {
    let (place, config, data) = feed("kind = \"unix\"\nlisten = \"PLACE/feed.sock\"");
    let args = ["run", "--config", &config, "--set", "ingest.connections_max=2"];
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    let mut open: Vec<UnixStream> = (0..2).map(|_| connect(&place.path("feed.sock"))).collect();
    running.wait_for("ingest_connections", 2);
    assert_eq!(connect(&place.path("feed.sock")).read(&mut [0]).ok(), Some(0), "closed");
    running.wait_for("ingest_connections_refused", 1);
    drop(open.pop());
    wait_until("there is room again", || running.counter("ingest_connections") == 1);
    let events = [trade("ROOM", 0), trade("ROOM", 1)];
    open.push(connect(&place.path("feed.sock")));
    for (index, (stream, event)) in open.iter_mut().zip(&events).enumerate() {
        stream.write_all(&line(event)).expect("it reads");
        running.wait_for("inputs_receipts", index as u64 + 1);
    }
    running.stop();
    assert_eq!(received(&data), events);
}

#[test]
fn an_over_long_record_is_kept_cut_off_and_the_connection_lives_on() {
    let (place, config, data) =
        feed("kind = \"unix\"\nname = \"bin\"\nlisten = \"PLACE/feed.sock\"\nformat = \"binary\"");
    let running = Running::start(&place, &config, &data);
    let mut stream = connect(&place.path("feed.sock"));
    let mut long = trade("LONG", 1);
    long["raw_payload"] = "z".repeat(200_000).into();
    let (long, event) = (binary::record(&long), trade("AFTER", 2));
    for piece in [&long[..], &binary::record(&event)].concat().chunks(1000) {
        stream.write_all(piece).expect("it reads");
    }
    running.wait_for("inputs_receipts", 2);
    running.stop();
    assert_eq!(received(&data), [refused("bin", "decode_error", &long[..LINE_MAX_BYTES]), event]);
    let dump = succeed(&["dump", &data, "inputs", "--to-seq", "1"]);
    assert!(
        dump.contains(&format!("of {} bytes exceeds ingest.line_max_bytes, first 32768 kept", long.len())),
        "{dump}"
    );
}
