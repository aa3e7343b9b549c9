//! Reads a text that is expected to have one form to the byte, as canonical ones have. A step takes what it expects or says no, which
//! means nothing more than that the text has to be read by who reads any form. Pure; never allocates.

use super::{RawValue, Refused, grammar};

/// How far a text has been taken.
#[derive(Debug)]
pub(crate) struct Exact<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Exact<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Takes just this.
    #[inline(always)]
    pub(crate) fn take(&mut self, expected: &str) -> Option<()> {
        let end = self.at + expected.len();
        (self.text.as_bytes().get(self.at..end)? == expected.as_bytes()).then(|| self.at = end)
    }

    /// Takes a value, with no white space before it.
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Option<RawValue<'a>> {
        let place = grammar::value::<Refused>(self.text.as_bytes(), self.at, 0).ok()?;
        (place.start == self.at).then(|| self.at = place.end)?;
        Some(place.value(self.text))
    }

    /// Whether nothing follows.
    pub(crate) fn is_over(&self) -> bool {
        self.at == self.text.len()
    }
}
