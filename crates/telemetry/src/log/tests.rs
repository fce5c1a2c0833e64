use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::file::LogFile;
use super::*;
use crate::record::tests::typical;

/// A folder of its own for each test, gone afterwards.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn to_file(path: &Path) -> LogConfig {
    LogConfig {
        target: LogTarget::File(path.to_owned()),
        rotate_at: 0,
        keep: 3,
        queue_bytes: 4 << 20,
    }
}

const QUICK: Pace = Pace {
    retry: Duration::from_millis(10),
    hold: Duration::from_millis(60),
};
const LONG: Duration = Duration::from_secs(20);

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn write_lines(buffer: &mut LogBuffer, from: u64, count: u64) {
    let mut stamp = Stamp::new();
    for number in from..from + count {
        buffer.write(
            &Record {
                bytes_in: number,
                ..typical()
            },
            &mut stamp,
        );
    }
}

/// The `bytes_in` of all lines of a text, each of which must be whole.
fn numbers(text: &str) -> Vec<u64> {
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| {
            let value: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            value["bytes_in"].as_u64().unwrap()
        })
        .collect()
}

fn numbers_in(path: &Path) -> Vec<u64> {
    numbers(&fs::read_to_string(path).unwrap())
}

#[test]
fn lines_of_all_threads_arrive_whole() {
    let folder = Folder::new();
    let path = folder.at("deep/er/access.log");
    let log = AccessLog::open(to_file(&path)).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let mut buffer = log.buffer();
            thread::spawn(move || write_lines(&mut buffer, thread * 1000, 1000))
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let status = Arc::clone(log.status());
    log.close(LONG).unwrap();
    let mut all = numbers_in(&path);
    all.sort_unstable();
    assert_eq!(all, (0..4000).collect::<Vec<_>>());
    assert_eq!((status.written_lines(), status.dropped_lines()), (4000, 0));
    assert_eq!(status.problem(), None);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o007,
        0,
        "others may not read it"
    );
}

#[test]
fn off_writes_nothing_and_costs_no_memory() {
    let log = AccessLog::open(LogConfig {
        target: LogTarget::Off,
        ..LogConfig::default()
    })
    .unwrap();
    let mut buffer = log.buffer();
    write_lines(&mut buffer, 0, 1000);
    buffer.flush();
    assert_eq!(buffer.block.capacity(), 0);
    drop(buffer);
    assert_eq!(
        (log.status().written_lines(), log.status().dropped_lines()),
        (0, 0)
    );
    log.close(Duration::ZERO).unwrap();
}

#[test]
fn an_aged_block_is_handed_over() {
    let folder = Folder::new();
    let path = folder.at("access.log");
    let log = AccessLog::open(to_file(&path)).unwrap();
    let mut buffer = log.buffer();
    write_lines(&mut buffer, 0, 3);
    let time = typical().time;
    buffer.flush_if_older(time + BLOCK_AGE_US);
    assert_eq!(buffer.lines, 3);
    buffer.flush_if_older(time + BLOCK_AGE_US + 1);
    assert_eq!(buffer.lines, 0);
    wait_until("3 lines", || log.status().written_lines() == 3);
    assert_eq!(numbers_in(&path), [0, 1, 2]);
    // The clock was set back: the block does not wait for it.
    write_lines(&mut buffer, 3, 1);
    buffer.flush_if_older(time - 1);
    wait_until("4 lines", || log.status().written_lines() == 4);
}

#[test]
fn blocks_come_back() {
    let folder = Folder::new();
    let log = AccessLog::open(to_file(&folder.at("access.log"))).unwrap();
    let mut buffer = log.buffer();
    let mut memory = std::collections::HashSet::new();
    for round in 1..=50 {
        write_lines(&mut buffer, 0, 1);
        memory.insert(buffer.block.as_ptr() as usize);
        buffer.flush();
        wait_until("written", || log.status().written_lines() == round);
        // The block comes back right after its lines were counted.
        thread::sleep(Duration::from_micros(500));
    }
    assert!(memory.len() < 10, "{} blocks were made", memory.len());
}

#[test]
fn rotates_by_size_and_keeps_so_many() {
    let folder = Folder::new();
    let path = folder.at("access.log");
    let log = AccessLog::open(LogConfig {
        rotate_at: 150_000,
        keep: 2,
        ..to_file(&path)
    })
    .unwrap();
    let mut buffer = log.buffer();
    let mut next = 0;
    let mut flush = |buffer: &mut LogBuffer| {
        write_lines(buffer, next, 100);
        next += 100;
        buffer.flush();
        wait_until("written", || log.status().written_lines() == next);
    };
    flush(&mut buffer);
    let block = fs::metadata(&path).unwrap().len();
    assert!((50_001..75_000).contains(&block), "{block}");
    assert!(!folder.at("access.log.1").exists());
    for _ in 0..8 {
        flush(&mut buffer);
    }
    let names = |name: &str| folder.at(name);
    let (now, one, two) = (
        numbers_in(&path),
        numbers_in(&names("access.log.1")),
        numbers_in(&names("access.log.2")),
    );
    assert!(!names("access.log.3").exists());
    let together: Vec<u64> = [two, one, now].concat();
    assert_eq!(together.last(), Some(&899));
    assert!(
        together.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "youngest lines, in order"
    );
    for name in ["access.log", "access.log.1", "access.log.2"] {
        assert!(
            fs::metadata(names(name)).unwrap().len() <= 150_000,
            "{name}"
        );
    }
    assert_eq!(log.status().problem(), None);
}

#[test]
fn a_log_that_is_a_link_is_rotated_where_it_leads_to() {
    let folder = Folder::new();
    let (path, real) = (folder.at("access.log"), folder.at("elsewhere/real.log"));
    // Through another link, into a folder that is not there yet.
    std::os::unix::fs::symlink("elsewhere/real.log", folder.at("next.log")).unwrap();
    std::os::unix::fs::symlink(folder.at("next.log"), &path).unwrap();
    let log = AccessLog::open(LogConfig {
        rotate_at: 60_000,
        keep: 1,
        ..to_file(&path)
    })
    .unwrap();
    let mut buffer = log.buffer();
    for round in 0..3 {
        write_lines(&mut buffer, round * 100, 100);
        buffer.flush();
        wait_until("written", || {
            log.status().written_lines() == (round + 1) * 100
        });
    }
    assert_eq!(log.status().problem(), None);
    assert_eq!(numbers_in(&real), (200..300).collect::<Vec<_>>());
    let older = folder.at("elsewhere/real.log.1");
    assert_eq!(numbers_in(&older), (100..200).collect::<Vec<_>>());
    assert!(path.is_symlink());
    assert!(!folder.at("access.log.1").exists());
}

#[test]
fn beside_what_is_no_file_of_a_folder_nothing_is_kept() {
    let folder = Folder::new();
    for name in ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        assert_eq!(place_of(Path::new(name)), None, "{name}");
    }
    let link = folder.at("link");
    std::os::unix::fs::symlink("/dev/stderr", &link).unwrap();
    assert_eq!(place_of(&link), None);
    let round = folder.at("round");
    std::os::unix::fs::symlink(&round, &round).unwrap();
    assert_eq!(place_of(&round), None);
    let all = fs::canonicalize(&folder.0).unwrap();
    let (plain, missing) = (folder.at("plain.log"), folder.at("none/plain.log"));
    assert_eq!(place_of(&plain), Some(all.join("plain.log")));
    assert_eq!(place_of(&missing), Some(missing.clone()));
}

#[test]
fn rotation_that_keeps_none_begins_anew() {
    let folder = Folder::new();
    let path = folder.at("access.log");
    let log = AccessLog::open(LogConfig {
        rotate_at: 60_000,
        keep: 0,
        ..to_file(&path)
    })
    .unwrap();
    let mut buffer = log.buffer();
    for round in 0..3 {
        write_lines(&mut buffer, round * 100, 100);
        buffer.flush();
    }
    wait_until("written", || log.status().written_lines() == 300);
    assert_eq!(numbers_in(&path), (200..300).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn a_rotation_that_fails_is_told_and_costs_no_line() {
    let folder = Folder::new();
    let path = folder.at("access.log");
    // A folder that is not empty cannot be replaced by the file.
    fs::create_dir_all(folder.at("access.log.1/full")).unwrap();
    let log = AccessLog::open(LogConfig {
        rotate_at: 1000,
        keep: 1,
        ..to_file(&path)
    })
    .unwrap();
    let mut buffer = log.buffer();
    for number in 0..5 {
        write_lines(&mut buffer, number, 1);
        buffer.flush();
        wait_until("written", || log.status().written_lines() == number + 1);
    }
    wait_until("told", || {
        log.status()
            .problem()
            .is_some_and(|problem| problem.contains("rotate"))
    });
    assert_eq!(log.status().failures(), 1);
    fs::remove_dir_all(folder.at("access.log.1")).unwrap();
    write_lines(&mut buffer, 5, 1);
    buffer.flush();
    wait_until("well", || log.status().problem().is_none());
    assert_eq!(numbers_in(&folder.at("access.log.1")), [0, 1, 2, 3, 4]);
    assert_eq!(numbers_in(&path), [5]);
}

#[test]
fn goes_on_in_a_new_file_when_told_to_or_when_the_old_one_is_gone() {
    let folder = Folder::new();
    let path = folder.at("access.log");
    let log = AccessLog::open(to_file(&path)).unwrap();
    let mut buffer = log.buffer();
    let mut flush = |number| {
        write_lines(&mut buffer, number, 1);
        buffer.flush();
        wait_until("written", || log.status().written_lines() == number + 1);
    };
    flush(0);
    fs::rename(&path, folder.at("moved")).unwrap();
    flush(1);
    log.reopen();
    wait_until("reopened", || {
        let running = log.running.as_ref().unwrap();
        !held(&running.orders.given).reopen
    });
    flush(2);
    assert_eq!(numbers_in(&folder.at("moved")), [0, 1]);
    assert_eq!(numbers_in(&path), [2]);
    fs::remove_file(&path).unwrap();
    flush(3);
    flush(4);
    assert!(numbers_in(&path).ends_with(&[4]));
}

#[test]
fn a_line_torn_by_a_crash_stays_alone() {
    let folder = Folder::new();
    let path = folder.at("access.log");
    fs::write(&path, "{\"time\":\"20").unwrap();
    let log = AccessLog::open(to_file(&path)).unwrap();
    let mut buffer = log.buffer();
    write_lines(&mut buffer, 0, 2);
    drop(buffer);
    log.close(LONG).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"time\":\"20");
    assert_eq!(numbers(rest), [0, 1]);
}

#[test]
fn a_full_disk_is_told_and_its_lines_are_counted() {
    let log = AccessLog::open_paced(to_file(Path::new("/dev/full")), QUICK).unwrap();
    let mut buffer = log.buffer();
    for round in 1..=3 {
        write_lines(&mut buffer, 0, 10);
        buffer.flush();
        wait_until("dropped", || log.status().dropped_lines() == 10 * round);
    }
    let problem = log.status().problem().expect("a problem");
    assert!(
        problem.contains("cannot write") && problem.contains("space"),
        "{problem}"
    );
    assert_eq!(log.status().failures(), 1, "one problem is told once");
    assert_eq!(log.status().written_lines(), 0);
    write_lines(&mut buffer, 0, 10);
    drop(buffer);
    let status = Arc::clone(log.status());
    log.close(LONG).unwrap();
    assert_eq!(status.dropped_lines(), 40);
}

#[test]
fn recovers_by_itself_and_a_hiccup_costs_no_line() {
    let folder = Folder::new();
    let path = folder.at("logs/access.log");
    // A file where the folder has to be.
    fs::write(folder.at("logs"), "").unwrap();
    let pace = Pace {
        retry: Duration::from_millis(10),
        hold: LONG,
    };
    let log = AccessLog::open_paced(to_file(&path), pace).unwrap();
    let problem = log.status().problem().expect("told at once");
    assert!(
        problem.contains("cannot open") && problem.contains("logs/access.log"),
        "{problem}"
    );
    let mut buffer = log.buffer();
    for number in 0..5 {
        write_lines(&mut buffer, number, 1);
        buffer.flush();
    }
    thread::sleep(Duration::from_millis(30));
    assert_eq!(log.status().written_lines(), 0);
    fs::remove_file(folder.at("logs")).unwrap();
    wait_until("recovered", || log.status().written_lines() == 5);
    wait_until("well", || log.status().problem().is_none());
    assert_eq!(numbers_in(&path), [0, 1, 2, 3, 4]);
    assert_eq!(log.status().dropped_lines(), 0);
}

#[test]
fn after_a_write_that_went_half_the_next_begins_on_a_fresh_line() {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    assert_eq!(
        unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) },
        0
    );
    // SAFETY: both were just made and nobody else owns them.
    let (mut reading, writing) =
        unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    let mut file = LogFile::over(writing);
    let lines = "a line that is cut somewhere\n".repeat(10_000);
    let failure = file
        .append(lines.as_bytes())
        .expect_err("a pipe holds less");
    assert!(failure.written > 0 && failure.written < lines.len());
    let mut got = vec![0; lines.len()];
    let length = reading.read(&mut got).unwrap();
    assert_eq!(length, failure.written);
    assert_ne!(got[length - 1], b'\n', "the cut is within a line");
    file.append(b"fresh\n").unwrap();
    file.append(b"next\n").unwrap();
    let length = reading.read(&mut got).unwrap();
    assert_eq!(&got[..length], b"\nfresh\nnext\n");
}

fn fifo(path: &Path) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a valid C string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

#[test]
fn a_slow_reader_costs_lines_and_never_time() {
    let folder = Folder::new();
    let path = folder.at("pipe");
    fifo(&path);
    let log = AccessLog::open(LogConfig {
        queue_bytes: 2 * BLOCK_BYTES,
        ..to_file(&path)
    })
    .unwrap();
    let mut buffer = log.buffer();
    // Some 13 MB, of which pipe, writer and queue take 4 blocks.
    write_lines(&mut buffer, 0, 20_000);
    let dropped = log.status().dropped_lines();
    assert!(dropped > 10_000, "{dropped}");
    let status = Arc::clone(log.status());
    assert!(status.is_pressed());
    // The writer hangs in its write; closing has a bound all the same.
    let started = Instant::now();
    let mut reading = fs::OpenOptions::new().read(true).open(&path).unwrap();
    let closed = thread::spawn(move || {
        drop(buffer);
        log.close(Duration::from_millis(50))
    });
    assert!(matches!(
        closed.join().unwrap(),
        Err(LogError::Unfinished(_))
    ));
    assert!(started.elapsed() < LONG);
    // As soon as somebody reads, it ends, and every line was either written or counted.
    let mut text = Vec::new();
    let mut part = [0; 65536];
    wait_until("all lines are accounted for", || {
        if status.written_lines() + status.dropped_lines() < 20_000 {
            let length = reading.read(&mut part).unwrap();
            text.extend_from_slice(&part[..length]);
        }
        status.written_lines() + status.dropped_lines() == 20_000
    });
    assert!(status.written_lines() > 100);
    let end = text.iter().rposition(|&byte| byte == b'\n').unwrap();
    let got = numbers(std::str::from_utf8(&text[..=end]).unwrap());
    assert!(got.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_buffer_outlives_its_log() {
    let folder = Folder::new();
    let log = AccessLog::open(to_file(&folder.at("access.log"))).unwrap();
    let status = Arc::clone(log.status());
    let mut buffer = log.buffer();
    log.close(LONG).unwrap();
    write_lines(&mut buffer, 0, 7);
    buffer.flush();
    assert_eq!(status.dropped_lines(), 7);
    write_lines(&mut buffer, 0, 2);
    drop(buffer);
    assert_eq!(status.dropped_lines(), 9);
}

#[test]
fn the_standard_output_is_a_target() {
    // What a test prints is kept from us, so this only shows that it opens and closes.
    let log = AccessLog::open(LogConfig {
        target: LogTarget::Stdout,
        ..LogConfig::default()
    })
    .unwrap();
    log.reopen();
    let _ = std::io::stdout().flush();
    log.close(LONG).unwrap();
}
