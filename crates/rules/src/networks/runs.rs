//! Which runs of /64s are outside, inside, or in part.

use super::tree::{Edges, Shortcut};

/// What is known of an address by its /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Outside,
    Inside,
    /// In part: the /64 is that one of all such, in their order.
    Partly(usize),
}

const OUTSIDE: u8 = 0;
const INSIDE: u8 = 1;
const PARTLY: u8 = 2;

/// Runs of /64s of one state, in rising order. Each /64 that is in part is a run by itself.
#[derive(Debug, Default)]
pub(super) struct Runs {
    edges: Vec<u64>,
    states: Vec<u8>,
    last_part: Option<u64>,
}

impl Runs {
    /// Adds one /64 that is partly inside; nothing if it was the last one already.
    pub(super) fn add_part(&mut self, upper: u64) {
        if self.last_part.replace(upper) != Some(upper) {
            self.add(upper, upper.checked_add(1), PARTLY);
        }
    }

    /// Adds /64s that are inside, up to the one behind them; to the last of all where there is none.
    pub(super) fn add_inside(&mut self, first: u64, behind: Option<u64>) {
        self.add(first, behind, INSIDE);
    }

    /// Adds a run that lies behind all that were added.
    fn add(&mut self, first: u64, behind: Option<u64>, state: u8) {
        if self.edges.last() == Some(&first) {
            // The run before ends here: this one goes on, or takes the place of its end.
            self.edges.pop();
            self.states.pop();
        }
        if state == PARTLY || self.states.last() != Some(&state) {
            self.edges.push(first);
            self.states.push(state);
        }
        if let Some(behind) = behind {
            self.edges.push(behind);
            self.states.push(OUTSIDE);
        }
    }

    pub(super) fn finish(self) -> States {
        let mut parts = 0;
        let states = self.states.chunks(RUNS);
        let blocks = self.edges.chunks(RUNS).zip(states);
        let runs: Box<[RunsBlock]> = blocks
            .map(|block| RunsBlock::of(block, &mut parts))
            .collect();
        let firsts: Vec<u64> = self.edges.iter().copied().step_by(RUNS).collect();
        States {
            shortcut: Shortcut::new(&firsts),
            firsts: Edges::new(&firsts),
            runs,
        }
    }
}

/// Runs to a block: with what is known of them one cache line.
const RUNS: usize = 7;

/// Where runs of /64s begin, in rising order, the last ones the greatest there is where there are fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
struct RunsBlock {
    edges: [u64; RUNS],
    /// /64s in part that lie before all of these.
    parts: u32,
    /// Two bits for each run, the first one lowest.
    states: u16,
    count: u8,
}

impl RunsBlock {
    fn of((edges, states): (&[u64], &[u8]), parts: &mut u32) -> Self {
        let mut block = Self {
            edges: [u64::MAX; RUNS],
            parts: *parts,
            states: 0,
            count: edges.len() as u8,
        };
        for (to, from) in block.edges.iter_mut().zip(edges) {
            *to = *from;
        }
        for (nth, state) in states.iter().enumerate() {
            block.states |= u16::from(*state) << (2 * nth);
            *parts += u32::from(*state == PARTLY);
        }
        block
    }

    fn first(&self) -> u64 {
        let [first, ..] = self.edges;
        first
    }

    /// The state of a /64 that is not below the first edge.
    #[inline]
    fn state(&self, upper: u64) -> State {
        const PARTS: u16 = 0xaaaa;
        let begun = self.edges.iter().map(|edge| u8::from(*edge <= upper));
        // What fills the last block up may count for the last /64 of all.
        let before = begun.sum::<u8>().min(self.count).saturating_sub(1);
        match (self.states >> (2 * before) & 3) as u8 {
            INSIDE => State::Inside,
            PARTLY => {
                let earlier = self.states & PARTS & ((1 << (2 * before)) - 1);
                State::Partly((self.parts + earlier.count_ones()) as usize)
            }
            _ => State::Outside,
        }
    }
}

/// Of each /64 whether it is outside, inside, or in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct States {
    shortcut: Shortcut,
    /// The first edge of each block.
    firsts: Edges<u64>,
    runs: Box<[RunsBlock]>,
}

impl States {
    #[inline]
    pub(super) fn of(&self, upper: u64) -> State {
        let begun = match self.shortcut.begun(upper, &self.runs, RunsBlock::first) {
            Some(begun) => begun,
            None => self.firsts.rank(upper),
        };
        let block = begun.checked_sub(1);
        let block = block.and_then(|block| self.runs.get(block));
        block.map_or(State::Outside, |block| block.state(upper))
    }

    pub(super) fn bytes(&self) -> usize {
        self.firsts.bytes() + self.shortcut.bytes() + size_of_val(&*self.runs)
    }
}
