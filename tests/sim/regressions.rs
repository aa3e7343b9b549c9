//! Seeds that found something, each with what it was.
