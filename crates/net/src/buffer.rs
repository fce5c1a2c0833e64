//! Byte buffers that a worker thread lends to connections while they move bytes, and takes back when they wait.
//!
//! An idle connection holds no buffer: that is what keeps ten thousand of them small. Pools are per thread, so nothing is
//! locked, and bounded, so a burst does not become resident memory for ever.

use std::cell::RefCell;

/// What a buffer holds at first, in bytes: a whole head, or a small response, in one read.
pub const SMALL: usize = 16 * 1024;
/// What a buffer grows to when a body streams in pieces that are worked on, in bytes. They stay in the core's cache from the
/// read to the write, and as four DATA frames with their headers they fill four TLS records to the last byte.
pub const MEDIUM: usize = 4 * (16 * 1024 - 9);
/// What a buffer grows to when a body streams from socket to socket, in bytes: fewer system calls per mebibyte.
pub const LARGE: usize = 256 * 1024;

const KEEP_SMALL: usize = 64;
const KEEP_MEDIUM: usize = 8;
const KEEP_LARGE: usize = 8;

struct Pool {
    small: Vec<Vec<u8>>,
    medium: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool { small: Vec::new(), medium: Vec::new(), large: Vec::new() })
    };
}

/// An empty vector with at least `capacity` bytes, from this thread's pool where it has one.
pub fn take(capacity: usize) -> Vec<u8> {
    let pooled = POOL.with_borrow_mut(|pool| {
        if capacity <= SMALL {
            pool.small.pop()
        } else if capacity <= MEDIUM {
            pool.medium.pop()
        } else if capacity <= LARGE {
            pool.large.pop()
        } else {
            None
        }
    });
    pooled.unwrap_or_else(|| {
        Vec::with_capacity(if capacity <= SMALL {
            SMALL
        } else if capacity <= MEDIUM {
            MEDIUM
        } else {
            capacity.max(LARGE)
        })
    })
}

/// Gives a vector back. Odd sizes are freed.
pub fn give(mut bytes: Vec<u8>) {
    let capacity = bytes.capacity();
    if capacity < SMALL {
        return;
    }
    bytes.clear();
    POOL.with_borrow_mut(|pool| {
        if capacity <= 2 * SMALL {
            if pool.small.len() < KEEP_SMALL {
                pool.small.push(bytes);
            }
        } else if (MEDIUM..=2 * MEDIUM).contains(&capacity) {
            if pool.medium.len() < KEEP_MEDIUM {
                pool.medium.push(bytes);
            }
        } else if (LARGE..=2 * LARGE).contains(&capacity) && pool.large.len() < KEEP_LARGE {
            pool.large.push(bytes);
        }
    });
}

/// Bytes that were read and not yet used. Without bytes it holds no memory once [`Buffer::release`] was called.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// The bytes that wait to be used.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The first `n` of them (fewer, if there are fewer).
    pub fn front(&self, n: usize) -> &[u8] {
        let data = self.data();
        data.get(..n).unwrap_or(data)
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `n` bytes were used.
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// A vector with room for at least `room` more bytes, to be read into. Waiting bytes move to its front first.
    #[inline]
    pub fn room(&mut self, room: usize) -> &mut Vec<u8> {
        if self.bytes.capacity() - self.bytes.len() < room {
            self.make_room(room);
        }
        &mut self.bytes
    }

    fn make_room(&mut self, room: usize) {
        if self.bytes.capacity() == 0 {
            self.bytes = take(room);
        }
        if self.start > 0 && self.bytes.capacity() - self.bytes.len() < room {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if self.bytes.capacity() - self.bytes.len() < room {
            if self.bytes.is_empty() {
                give(std::mem::replace(&mut self.bytes, take(room)));
            } else {
                self.bytes.reserve(room);
            }
        }
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.room(bytes.len().max(SMALL)).extend_from_slice(bytes);
    }

    /// Gives the memory back to the thread's pool, if nothing waits in it.
    pub fn release(&mut self) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            give(std::mem::take(&mut self.bytes));
            self.start = 0;
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_buffer_holds_nothing() {
        let mut buffer = Buffer::default();
        buffer.extend(b"GET / HTTP/1.1");
        buffer.consume(4);
        assert_eq!(buffer.data(), b"/ HTTP/1.1");
        buffer.release();
        assert_eq!(buffer.len(), 10, "waiting bytes are kept");
        buffer.consume(10);
        buffer.release();
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    #[test]
    fn a_pooled_buffer_has_the_room_that_is_asked_for() {
        for asked in [1, SMALL, SMALL + 1, MEDIUM, MEDIUM + 1, LARGE, LARGE + 1] {
            for _ in 0..2 {
                let bytes = take(asked);
                assert!(bytes.capacity() >= asked);
                give(bytes);
            }
        }
    }

    #[test]
    fn room_keeps_what_waits() {
        let mut buffer = Buffer::default();
        buffer.extend(&[7; 1000]);
        buffer.consume(990);
        let room = buffer.room(LARGE);
        assert!(room.capacity() - room.len() >= LARGE);
        assert_eq!(buffer.data(), &[7; 10]);
    }
}
