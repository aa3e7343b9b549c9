//! The parts of the contract that need no second thread: refusals, sizes, when the cursor is published, what a wrap
//! costs.
#![cfg(not(loom))]

mod common;

use common::Cell;
use cutline_ring::{Full, bytes, spsc};

fn panics(what: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(what).expect_err("must panic");
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| payload.downcast_ref::<&str>().unwrap().to_string())
}

#[test]
fn ends_are_send() {
    fn is_send<T: Send>() {}
    is_send::<spsc::Producer<Cell>>();
    is_send::<spsc::Consumer<Cell>>();
    is_send::<bytes::Producer<Cell>>();
    is_send::<bytes::Consumer<Cell>>();
}

#[test]
fn a_line_is_one_cache_line_and_travels_without_its_first_word() {
    assert_eq!((size_of::<Cell>(), align_of::<Cell>()), (64, 64));
    let (mut tx, mut rx) = spsc::channel::<Cell>(2);
    tx.push(Cell::sent(7)).unwrap();
    assert_eq!(rx.peek(), Some(Cell::expected(7)));
    assert_eq!(rx.peek(), Some(Cell::expected(7)), "a peek takes nothing");
    assert_eq!(rx.pop(), Some(Cell::expected(7)));
    assert_eq!(rx.pop(), None);
}

#[test]
fn wrong_capacities_are_refused_with_what_was_asked() {
    for capacity in [0, 1, 3, 6, 1_000] {
        let message = panics(|| drop(spsc::channel::<Cell>(capacity)));
        assert!(message.contains(&format!("not {capacity}")), "{message}");
    }
    for capacity in [0, 64, 192, 1_000, 2 << 30] {
        let message = panics(|| drop(bytes::channel::<Cell>(capacity)));
        assert!(message.contains(&format!("not {capacity}")), "{message}");
    }
}

#[test]
fn the_cursor_is_published_every_quarter_and_on_an_empty_ring() {
    let (mut tx, mut rx) = spsc::channel::<Cell>(16);
    for n in 0..16 {
        tx.push(Cell::sent(n)).unwrap();
    }
    assert_eq!(tx.push(Cell::sent(16)), Err(Full));
    for _ in 0..3 {
        rx.pop().unwrap();
        assert_eq!((tx.free(), tx.used_bytes()), (0, 16 * 64), "not yet a quarter");
    }
    rx.pop().unwrap();
    assert_eq!(tx.free(), 4);
    assert!(tx.has_room(4) && !tx.has_room(5));
    for _ in 0..11 {
        rx.pop().unwrap();
    }
    rx.pop().unwrap();
    tx.push(Cell::sent(16)).unwrap();
    rx.pop().unwrap();
    assert_eq!(tx.free(), 15);
    assert_eq!(rx.peek(), None, "this publishes");
    assert_eq!(tx.free(), 16);
    assert!(tx.has_room(16) && !tx.has_room(17));
}

#[test]
fn a_run_shows_what_can_be_taken_up_to_the_end_of_the_memory() {
    let (mut tx, mut rx) = spsc::channel::<Cell>(8);
    let mut sent = 0;
    for fill in [0, 1, 5, 8, 3, 8, 7, 2] {
        assert!(rx.is_empty() && rx.peek_run(8).is_empty());
        assert_eq!(tx.push_batch((sent..).take(fill).map(Cell::sent)), fill);
        let mut left = fill;
        while left > 0 {
            assert_eq!(rx.peek_run(0).len(), 0);
            assert_eq!(rx.peek_run(1).len(), 1);
            let taken_before = sent as usize + fill - left;
            let run = rx.peek_run(8);
            assert_eq!(run.len(), left.min(8 - taken_before % 8));
            assert_eq!(run[0].unstamped(), Cell::expected(taken_before as u64));
            // Not all of it: what was not taken is shown again.
            let taken = run.len().div_ceil(2);
            rx.advance(taken);
            left -= taken;
        }
        sent += fill as u64;
        assert_eq!(rx.pop(), None);
    }
    assert_eq!((tx.capacity(), rx.capacity()), (8, 8));
}

#[test]
fn what_is_written_is_seen_when_published_or_the_ring_is_full_or_its_producer_goes() {
    let (mut tx, mut rx) = spsc::channel::<Cell>(4);
    for n in 0..4 {
        tx.write(Cell::sent(n)).unwrap();
        assert_eq!(rx.peek(), None);
    }
    assert_eq!(tx.write(Cell::sent(4)), Err(Full));
    assert_eq!(rx.peek_run(4).len(), 4, "who is told that the ring is full may wait");
    rx.advance(4);
    assert_eq!(rx.peek(), None);
    tx.write(Cell::sent(4)).unwrap();
    tx.push(Cell::sent(5)).unwrap();
    tx.write(Cell::sent(6)).unwrap();
    assert_eq!([rx.pop(), rx.pop(), rx.pop()], [Some(Cell::expected(4)), Some(Cell::expected(5)), None]);
    assert_eq!(tx.push_batch((7..20).map(Cell::sent)), 3, "as many as there is room for");
    for n in 6..10 {
        assert_eq!(rx.pop(), Some(Cell::expected(n)));
    }
    tx.write(Cell::sent(10)).unwrap();
    drop(tx);
    assert_eq!(rx.pop(), Some(Cell::expected(10)));
    assert_eq!(rx.pop(), None);

    let (mut tx, mut rx) = bytes::channel::<Cell>(256);
    tx.claim(0).unwrap().write(Cell::sent(1), 0);
    tx.claim(64).unwrap().write(Cell::sent(2), 64);
    assert_eq!(rx.peek(), None);
    assert!(tx.claim(0).is_none());
    assert_eq!(rx.peek(), Some((Cell::expected(1), &[][..])), "who is told that the ring is full may wait");
    rx.advance();
    rx.peek().unwrap();
    rx.advance();
    assert_eq!(rx.peek(), None);
    tx.claim(0).unwrap().write(Cell::sent(3), 0);
    drop(tx);
    assert_eq!(rx.peek(), Some((Cell::expected(3), &[][..])));
}

#[test]
fn a_batch_that_panics_half_way_leaves_what_came_before() {
    let (mut tx, mut rx) = spsc::channel::<Cell>(4);
    let values = (0..4).map(|n| if n < 2 { Cell::sent(n) } else { panic!("no value {n}") });
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tx.push_batch(values)));
    assert!(caught.is_err());
    tx.push(Cell::sent(2)).unwrap();
    for n in 0..3 {
        assert_eq!(rx.pop(), Some(Cell::expected(n)));
    }
    assert_eq!(rx.pop(), None);
}

#[test]
fn each_end_sees_the_other_go_and_what_was_sent_stays_readable() {
    let (mut tx, mut rx) = spsc::channel::<Cell>(4);
    assert!(!tx.is_disconnected() && !rx.is_disconnected());
    tx.push(Cell::sent(1)).unwrap();
    drop(tx);
    assert!(rx.is_disconnected());
    assert_eq!(rx.pop(), Some(Cell::expected(1)));
    assert_eq!(rx.pop(), None);

    let (mut tx, mut rx) = spsc::channel::<Cell>(16);
    tx.push(Cell::sent(1)).unwrap();
    tx.push(Cell::sent(2)).unwrap();
    rx.pop().unwrap();
    drop(rx);
    assert!(tx.is_disconnected());
    assert_eq!((tx.free(), tx.used_bytes()), (15, 64), "the last cursor is published");

    let (mut tx, mut rx) = bytes::channel::<Cell>(256);
    assert!(!tx.is_disconnected() && !rx.is_disconnected());
    tx.push(Cell::sent(1), b"last words").unwrap();
    drop(tx);
    assert!(rx.is_disconnected());
    assert_eq!(rx.peek(), Some((Cell::expected(1), &b"last words"[..])));
    let (tx, rx) = bytes::channel::<Cell>(256);
    drop(rx);
    assert!(tx.is_disconnected());
}

#[test]
fn a_record_takes_whole_lines_and_one_that_would_cross_the_end_is_padded() {
    let (mut tx, mut rx) = bytes::channel::<Cell>(512);
    assert_eq!((tx.capacity_bytes(), rx.capacity_bytes(), tx.payload_max_bytes()), (512, 512, 192));
    for (payload, used) in [(0, 64), (1, 192), (64, 320), (65, 512 - 64)] {
        if payload == 65 {
            // 192 bytes would leave no free line for the zero that follows the record.
            assert_eq!(tx.push(Cell::sent(0), &[1; 65]), Err(Full));
        } else {
            tx.push(Cell::sent(0), &vec![1; payload]).unwrap();
            assert_eq!(512 - tx.free_bytes(), used);
        }
    }
    while rx.peek().is_some() {
        rx.advance();
    }
    assert_eq!(tx.free_bytes(), 512);
    // The tail is at 320, 192 bytes before the end: 256 bytes of record do not fit there.
    tx.push(Cell::sent(9), &[7; 192]).unwrap();
    assert_eq!(512 - tx.free_bytes(), 192 + 256, "padding and record");
    assert_eq!(rx.peek(), Some((Cell::expected(9), &[7; 192][..])));
    rx.advance();
    assert_eq!(rx.peek(), None);
    assert_eq!(tx.free_bytes(), 512);
}

#[test]
fn a_dropped_claim_leaves_nothing_and_a_short_commit_gives_the_rest_back() {
    let (mut tx, mut rx) = bytes::channel::<Cell>(512);
    tx.push(Cell::sent(0), &[0; 150]).unwrap();
    rx.peek().unwrap();
    rx.advance();
    assert_eq!(rx.peek(), None);
    for _ in 0..3 {
        let mut claim = tx.claim(192).expect("fits with padding");
        claim.payload_mut().fill(0x40);
        drop(claim);
        assert_eq!(rx.peek(), None);
        assert_eq!(tx.free_bytes(), 512);
    }
    let mut claim = tx.claim(130).unwrap();
    assert_eq!(claim.payload_mut().len(), 130);
    claim.payload_mut()[..3].copy_from_slice(b"abc");
    claim.commit(Cell::sent(1), 3);
    assert_eq!(512 - tx.free_bytes(), 128);
    assert_eq!(rx.peek(), Some((Cell::expected(1), &b"abc"[..])));
    rx.advance();
    assert_eq!(rx.peek(), None);
}

#[test]
fn the_largest_payload_always_fits_an_empty_ring_wherever_the_tail_is() {
    for capacity in [128, 256, 1_024] {
        let (mut tx, mut rx) = bytes::channel::<Cell>(capacity);
        let max = tx.payload_max_bytes();
        for step in 0..=capacity / 64 {
            tx.push(Cell::sent(1), &vec![3; max])
                .unwrap_or_else(|_| panic!("largest payload at step {step} of {capacity}"));
            assert_eq!(rx.peek().unwrap().1.len(), max);
            rx.advance();
            assert!(rx.peek().is_none());
            tx.push(Cell::sent(2), &[]).unwrap();
            rx.peek().unwrap();
            rx.advance();
            assert!(rx.peek().is_none());
        }
    }
}

#[test]
fn misuse_is_refused_loudly() {
    let over = panics(|| {
        let (mut tx, _rx) = bytes::channel::<Cell>(256);
        let _ = tx.claim(65);
    });
    assert!(over.contains("65") && over.contains("64"), "{over}");
    let commit = panics(|| {
        let (mut tx, _rx) = bytes::channel::<Cell>(256);
        tx.claim(8).unwrap().commit(Cell::sent(1), 9);
    });
    assert!(commit.contains('9') && commit.contains('8'), "{commit}");
    let advance = panics(|| {
        let (mut tx, mut rx) = bytes::channel::<Cell>(256);
        tx.push(Cell::sent(1), &[]).unwrap();
        rx.advance();
    });
    assert!(advance.contains("without a peeked record"), "{advance}");
    let over = panics(|| {
        let (mut tx, mut rx) = spsc::channel::<Cell>(4);
        assert_eq!(tx.push_batch([1, 2, 3].map(Cell::sent)), 3);
        assert_eq!(rx.peek_run(2).len(), 2);
        rx.pop().unwrap();
        rx.advance(2);
    });
    assert!(over.contains("advance over 2 values of 1"), "{over}");
}
