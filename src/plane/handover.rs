//! A value from the cold path to a stage, one at a time, and back to be dropped where that may take its time.
//!
//! The cold path sends from one thread, a stage takes on its lane. The stage puts what it replaces into the very box that it was sent, so
//! that no lane allocates or frees for it, and hands that back. Neither side waits: what is sent lies there until the stage comes to it.

/// The cold end.
pub struct Sender<T> {
    to: rtrb::Producer<Box<T>>,
    back: rtrb::Consumer<Box<T>>,
    /// Sent, and not yet back.
    is_out: bool,
}

/// The stage's end.
pub struct Receiver<T> {
    from: rtrb::Consumer<Box<T>>,
    back: rtrb::Producer<Box<T>>,
}

/// Both ends.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let ((to, from), (back_in, back)) = (rtrb::RingBuffer::new(1), rtrb::RingBuffer::new(1));
    (Sender { to, back, is_out: false }, Receiver { from, back: back_in })
}

impl<T> Sender<T> {
    /// Sends a value.
    ///
    /// # Errors
    /// The value: the one before it is not back yet.
    pub fn send(&mut self, value: Box<T>) -> Result<(), Box<T>> {
        if self.is_out {
            return Err(value);
        }
        self.to.push(value).map_err(|rtrb::PushError::Full(value)| value)?;
        self.is_out = true;
        Ok(())
    }

    /// Whether a value was sent that is not back.
    #[must_use]
    pub const fn is_out(&self) -> bool {
        self.is_out
    }

    /// What the stage has handed back.
    pub fn take_back(&mut self) -> Option<Box<T>> {
        let back = self.back.pop().ok()?;
        self.is_out = false;
        Some(back)
    }
}

impl<T> Receiver<T> {
    /// What was sent, without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<&T> {
        self.from.peek().ok().map(|value| &**value)
    }

    /// Takes what was sent.
    pub fn take(&mut self) -> Option<Box<T>> {
        self.from.pop().ok()
    }

    /// Hands a box back that was taken.
    ///
    /// # Panics
    /// If it was not (a programmer's error): there is room for the one that is out.
    pub fn give_back(&mut self, value: Box<T>) {
        assert!(self.back.push(value).is_ok(), "only what was taken is given back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_out_at_a_time_and_comes_back_in_its_own_box() {
        let (mut sender, mut receiver) = channel();
        assert!(receiver.take().is_none() && sender.take_back().is_none());
        let sent = Box::new(7);
        let place: *const i32 = &raw const *sent;
        assert_eq!(sender.send(sent), Ok(()));
        assert_eq!(sender.send(Box::new(8)), Err(Box::new(8)), "the first is not back");
        assert_eq!(receiver.peek(), Some(&7));
        let taken = receiver.take().expect("it was sent");
        assert!(sender.is_out() && sender.send(Box::new(8)).is_err(), "nor is it while the stage has it");
        receiver.give_back(taken);
        assert!(sender.take_back().is_some_and(|back| std::ptr::eq(&raw const *back, place)));
        assert_eq!(sender.send(Box::new(8)), Ok(()));
    }
}
