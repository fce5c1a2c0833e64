//! Datagrams to the thread that their connection lives on: a packet filter on the group of sockets that share a port.
//!
//! It is a classic BPF program, which needs no privileges. It reads the place out of the connection id
//! ([`cid`](super::cid)); what has none, or names a worker that is not there, goes to the youngest one, or by the kernel's hash
//! over the addresses, as without a program. The index that it gives counts the sockets in the order in which they were bound,
//! which holds as long as none of them is closed. Not here: what becomes of a datagram that arrives on the wrong thread all the
//! same; [`endpoint`](super::endpoint) passes it on.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::sock_filter;

use super::cid::LENGTH;

const fn statement(code: u32, value: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k: value,
    }
}

const fn jump(code: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k: value,
    }
}

/// Loads a byte, or two in network order, of the datagram at this offset. Beyond the end, the program ends with 0.
const BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const TWO: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const HAS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const GIVE: u32 = libc::BPF_RET | libc::BPF_A;
const GIVE_THIS: u32 = libc::BPF_RET | libc::BPF_K;

const ADD: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K;
const MODULO: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;

/// No socket has this index: the kernel chooses by its hash.
const ANY: u32 = u32::MAX;

/// Sockets of a group that are one process': those from `base` on, as many as it has threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The process' generation, as its ids say it.
    pub generation: u8,
    /// How many sockets of the group were bound before its own.
    pub base: u16,
    /// How many it has.
    pub threads: u16,
}

/// The most processes that one program tells apart: a jump is a byte wide, and each takes five steps.
pub const MOST: usize = 16;

/// The program for a group: each of `ranges` gets what its ids name, and `new` gets all else; the kernel chooses where none is
/// named.
fn program(ranges: &[Range], new: Option<Range>) -> Vec<sock_filter> {
    let ranges = ranges.get(..MOST).unwrap_or(ranges);
    // In the accumulator is the generation, and the thread's number lies at `at`.
    let choose = |at: u32| -> Vec<sock_filter> {
        let steps = ranges.iter().enumerate().flat_map(|(nth, range)| {
            let follow = ranges.len() - 1 - nth;
            [
                jump(IS, range.generation.into(), 0, 4),
                statement(TWO, at),
                // What names no thread of its process is as good as new: on to the end.
                jump(AT_LEAST, range.threads.into(), 2 + 5 * follow as u8, 0),
                statement(ADD, range.base.into()),
                statement(GIVE, 0),
            ]
        });
        steps.collect()
    };
    let new = match new {
        None => vec![statement(GIVE_THIS, ANY)],
        Some(new) => vec![
            // A byte that the client chose at random, or as good as.
            statement(BYTE, 8),
            statement(MODULO, new.threads.max(1).into()),
            statement(ADD, new.base.into()),
            statement(GIVE, 0),
        ],
    };
    let (short, long) = (choose(2), choose(7));
    let mut program = vec![
        statement(BYTE, 0),
        jump(HAS, 0x80, 1 + (short.len() + new.len()) as u8, 0),
        // Short header: the id follows the first byte (RFC 8999 §5.2).
        statement(BYTE, 1),
    ];
    program.extend(short);
    program.extend(&new);
    program.extend([
        // Long header: version, length of the id, the id (RFC 8999 §5.1).
        statement(BYTE, 5),
        jump(IS, LENGTH as u32, 0, 1 + long.len() as u8),
        statement(BYTE, 6),
    ]);
    program.extend(long);
    program.extend(new);
    program
}

/// Attaches the program for these processes to the group that this socket belongs to, in place of the one before. What is not
/// theirs goes to `new`, or where the kernel's hash says.
///
/// # Errors
/// Those of `setsockopt(2)`. Without it all works for one process, more slowly: datagrams are passed on between threads.
pub fn attach(socket: BorrowedFd<'_>, ranges: &[Range], new: Option<Range>) -> io::Result<()> {
    put(socket, &mut program(ranges, new))
}

fn put(socket: BorrowedFd<'_>, filter: &mut [sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the option is given a struct of its type, which lives as long as the call and points to a live program.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::super::cid::Place;
    use super::super::cid::tests::datagram;
    use super::*;

    /// What the kernel makes of the program (Documentation/networking/filter.rst), instruction by instruction.
    fn run(program: &[sock_filter], packet: &[u8]) -> u32 {
        let (mut at, mut a) = (0, 0u32);
        loop {
            let step = program[at];
            at += 1;
            let offset = step.k as usize;
            let jump = |taken: bool| usize::from(if taken { step.jt } else { step.jf });
            match u32::from(step.code) {
                BYTE => match packet.get(offset) {
                    Some(byte) => a = u32::from(*byte),
                    None => return 0,
                },
                TWO => match packet.get(offset..offset + 2) {
                    Some(two) => a = u32::from(u16::from_be_bytes([two[0], two[1]])),
                    None => return 0,
                },
                IS => at += jump(a == step.k),
                HAS => at += jump(a & step.k != 0),
                AT_LEAST => at += jump(a >= step.k),
                ADD => a = a.wrapping_add(step.k),
                MODULO => a %= step.k,
                GIVE => return a,
                GIVE_THIS => return step.k,
                code => panic!("{code:#x} is not used"),
            }
        }
    }

    /// Numbers that look random and are the same each time (xorshift).
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    #[test]
    fn program_and_parser_agree_on_whatever_comes() {
        let mut dice = Dice(0x5ea1);
        let threads = 5;
        let all = Range {
            generation: 9,
            base: 0,
            threads,
        };
        let program = program(&[all], None);
        let (mut steered, mut strange) = (0, 0);
        for _ in 0..200_000 {
            let mut packet: Vec<u8> = (0..dice.roll() % 64).map(|_| dice.roll() as u8).collect();
            // Often nearly right, or nothing but chance would be tried.
            if dice.roll().is_multiple_of(2) {
                let mut id = vec![9, 0, (dice.roll() % 8) as u8];
                id.resize(LENGTH - 1 + (dice.roll() % 3) as usize, 1);
                packet = datagram(dice.roll().is_multiple_of(2), &id);
                packet.truncate((dice.roll() % 64) as usize);
            }
            let ours = Place::of_datagram(&packet)
                .filter(|place| place.generation == 9 && place.thread < threads);
            let index = run(&program, &packet);
            match ours {
                Some(place) => {
                    assert_eq!(index, u32::from(place.thread), "{packet:02x?}");
                    steered += 1;
                }
                // Too short to be read to its place: the kernel ends the program with 0.
                None if index == 0 => assert!(packet.len() < 6 + LENGTH),
                // Read, and then too short to hold the rest of the id.
                None if index < u32::from(threads) => assert!(packet.len() < 6 + LENGTH),
                None => {
                    assert_eq!(index, ANY, "{packet:02x?}");
                    strange += 1;
                }
            }
        }
        assert!(steered > 10_000 && strange > 10_000, "{steered} {strange}");
    }

    #[test]
    fn each_process_gets_what_is_its_own_and_the_youngest_one_what_is_new() {
        let range = |generation, base, threads| Range {
            generation,
            base,
            threads,
        };
        // Sockets 2 to 4 are nobody's, and the youngest has not the last places.
        let all = [range(3, 0, 2), range(5, 8, 3), range(4, 5, 3)];
        for count in 1..=all.len() {
            let (ranges, new) = (&all[..count], all[count - 1]);
            let program = program(ranges, Some(new));
            let mut dice = Dice(0x5ea2);
            for _ in 0..50_000 {
                let mut id: Vec<u8> = (0..LENGTH).map(|_| dice.roll() as u8).collect();
                id[0] = (dice.roll() % 8) as u8;
                id[1] = 0;
                id[2] = (dice.roll() % 5) as u8;
                let length = [LENGTH, LENGTH, 8, 20][(dice.roll() % 4) as usize];
                id.resize(length, 9);
                let long = dice.roll().is_multiple_of(2);
                let index = run(&program, &datagram(long, &id));
                let place = Place::of_datagram(&datagram(long, &id));
                let owner = place.and_then(|place| {
                    let mut ranges = ranges.iter();
                    let is_its = |range: &&Range| range.generation == place.generation;
                    let range = ranges.find(is_its)?;
                    (place.thread < range.threads).then(|| u32::from(range.base + place.thread))
                });
                match owner {
                    Some(owner) => assert_eq!(index, owner, "{id:?} {long}"),
                    None => {
                        let youngest = u32::from(new.base)..u32::from(new.base + new.threads);
                        assert!(youngest.contains(&index), "{id:?} {long}: {index}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_longest_program_jumps_to_its_end_and_is_taken_by_the_kernel() {
        let ranges: Vec<Range> = (0..MOST as u8 + 1)
            .map(|nth| Range {
                generation: nth,
                base: u16::from(nth) * 2,
                threads: 2,
            })
            .collect();
        let new = ranges[MOST - 1];
        let program = program(&ranges, Some(new));
        for nth in 0..MOST as u8 {
            for (thread, first) in [(0, u32::from(nth) * 2), (2, 30)] {
                let mut id = [6; LENGTH];
                id[..3].copy_from_slice(&[nth, 0, thread]);
                for long in [false, true] {
                    assert_eq!(run(&program, &datagram(long, &id)), first, "{nth} {long}");
                }
            }
        }
        let socket = crate::quic::bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
        attach(socket.as_fd(), &ranges, Some(new)).unwrap();
    }

    #[test]
    fn the_kernel_brings_each_datagram_to_its_thread() {
        let threads = 4u16;
        let mut bound = "127.0.0.1:0".parse().unwrap();
        let mut sockets: Vec<UdpSocket> = Vec::new();
        for _ in 0..threads {
            let socket = crate::quic::bind(bound, true).unwrap();
            bound = socket.local_addr().unwrap();
            socket.set_nonblocking(false).unwrap();
            sockets.push(socket);
        }
        let all = Range {
            generation: 3,
            base: 0,
            threads,
        };
        attach(sockets[0].as_fd(), &[all], None).unwrap();
        for thread in 0..threads {
            let mut id = [7; LENGTH];
            id[..3].copy_from_slice(&[3, 0, thread as u8]);
            for long in [false, true] {
                // From many ports: it is not the kernel's hash that finds the socket.
                for _ in 0..8 {
                    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                    client.send_to(&datagram(long, &id), bound).unwrap();
                    let mut room = [0; 128];
                    let from = sockets[usize::from(thread)].recv_from(&mut room).unwrap().1;
                    assert_eq!(from, client.local_addr().unwrap());
                }
            }
        }
        // Another generation's goes to anybody.
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .send_to(&datagram(false, &[4; LENGTH]), bound)
            .unwrap();
        let arrived = || {
            sockets.iter().any(|socket| {
                socket.set_nonblocking(true).unwrap();
                socket.recv_from(&mut [0; 128]).is_ok()
            })
        };
        while !arrived() {
            std::thread::yield_now();
        }
    }
}
