//! Where what is live is: swapped as a whole, read by every request once.
//!
//! A thread keeps the snapshot it read last and asks one atomic number whether there is a newer one: 14 ns a load, no proof of
//! memory ordering to get wrong, and the lock is taken only when something changed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::trial::Live;

/// What is live.
#[derive(Debug)]
pub struct Slot {
    generation: AtomicU64,
    live: RwLock<Arc<Live>>,
}

impl Slot {
    /// A slot that holds this snapshot.
    pub fn new(live: impl Into<Live>) -> Arc<Self> {
        Arc::new(Self {
            generation: AtomicU64::new(1),
            live: RwLock::new(Arc::new(live.into())),
        })
    }

    /// Puts a snapshot in place of the live one, which goes on for the requests that hold it.
    pub fn swap(&self, next: impl Into<Live>) -> Arc<Live> {
        let next = Arc::new(next.into());
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *live, next);
        self.generation.fetch_add(1, Ordering::Release);
        old
    }

    /// What is live stays, and is judged by as if it were new: something else than it has changed.
    pub fn look_again(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The live snapshot. Takes a lock: a worker thread asks its [`Reader`].
    pub fn load(&self) -> Arc<Live> {
        self.live
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// One thread's view of the slot.
#[expect(
    clippy::redundant_allocation,
    reason = "requests count in their thread; the shared count is for swaps"
)]
pub struct Reader {
    slot: Arc<Slot>,
    seen: RefCell<(u64, Rc<Arc<Live>>)>,
}

impl Reader {
    /// A view of this slot.
    pub fn new(slot: Arc<Slot>) -> Self {
        let generation = slot.generation.load(Ordering::Acquire);
        let snapshot = Rc::new(slot.load());
        Self {
            slot,
            seen: RefCell::new((generation, snapshot)),
        }
    }

    /// A number that changes with each swap.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.slot.generation.load(Ordering::Relaxed)
    }

    /// Looks at the live snapshot, without holding it.
    pub fn with<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        let generation = self.slot.generation.load(Ordering::Acquire);
        match &*self.seen.borrow() {
            (seen, snapshot) if *seen == generation => return look(snapshot),
            _ => {}
        }
        look(&self.load())
    }

    /// The live snapshot, to be held for one request.
    pub fn load(&self) -> Rc<Arc<Live>> {
        let generation = self.slot.generation.load(Ordering::Acquire);
        let mut seen = self.seen.borrow_mut();
        if seen.0 != generation {
            // Should it change between the two loads, the next request reads it once more.
            *seen = (generation, Rc::new(self.slot.load()));
        }
        seen.1.clone()
    }
}
