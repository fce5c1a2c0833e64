//! Bytes that are read or written, and the SHA-256 of all of them.

use std::io::{self, Read, Write};

use seawall_control::version::{Hash, Hashing};

/// What is read or written, and the hash of what was until now.
pub struct Summed<T> {
    inner: T,
    hashing: Hashing,
}

impl<T> Summed<T> {
    /// Nothing was read or written yet.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            hashing: Hashing::default(),
        }
    }

    /// What is below, and the hash.
    pub fn end(self) -> (T, Hash) {
        (self.inner, self.hashing.end())
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hashing.take(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hashing.take(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
