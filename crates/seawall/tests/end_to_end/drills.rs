//! Outages, re-enacted by the program itself: those that each run of the suite shows, what is left of a drill that is interrupted, and
//! that what people run has nothing in it by which a safeguard could be turned off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::up::{Folder, finished, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_seawall");

/// The drill, with its temporary files in this folder.
fn drill(folder: &Folder, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg("drill")
        .args(words)
        .env("TMPDIR", folder.join(""))
        .stdin(Stdio::null());
    command
}

/// Ends by itself, and prints lines of JSON; progress goes to where the test's own does.
fn lines(mut command: Command) -> (Option<i32>, Vec<Value>) {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (output.status.code(), lines.collect())
}

/// What there is of beds: folders, and processes that name them.
fn left(folder: &Folder) -> Vec<String> {
    let within = folder.join("");
    let mark = within.to_str().unwrap().trim_end_matches('/').to_owned();
    let beds = fs::read_dir(&within).unwrap().flatten();
    let beds = beds.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let beds = beds.filter(|name| name.starts_with("seawall-drill-"));
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| {
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        words
            .contains(&format!("{mark}/seawall-drill-"))
            .then_some(words)
    });
    beds.chain(processes).collect()
}

#[test]
fn outages_are_contained_and_the_report_shows_them() {
    let folder = Folder::new();
    let page = folder.join("report.html");
    let ids = ["O1", "O10a", "O11-rules", "O14-panic"];
    let mut words = ids.to_vec();
    words.extend(["--json", "--report", page.to_str().unwrap()]);
    let (code, told) = lines(drill(&folder, &words));
    let names: Vec<&str> = told.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(names, ids);
    for one in &told {
        println!("{one}");
        assert_eq!(
            (&one["void"], &one["contained"]),
            (&false.into(), &true.into()),
            "{one:#}"
        );
        assert!(one["sr_global"].as_f64().unwrap() >= 0.999);
        assert_eq!(one["speed"], 20);
        assert!(one["sr_canary"].is_f64() && one.get("reverted_after_s").is_some());
    }
    assert_eq!(code, Some(0));
    assert_eq!(left(&folder), Vec::<String>::new());
    is_seen_in_a_browser(&folder, &page, ids.len());
}

/// Opens the report in a browser, and looks at the picture.
fn is_seen_in_a_browser(folder: &Folder, page: &Path, drills: usize) {
    let seen = colours(folder, page);
    println!("pixels of {COLOURS:?}: {seen:?}");
    let is_there = |seen: &[usize]| {
        let (lines, others) = seen.split_at(3);
        lines.iter().all(|count| *count >= LINE * drills)
            && others.iter().all(|count| *count >= 20 * drills)
    };
    assert!(is_there(&seen), "{seen:?}");
    // Without the lines of the plots that is not so: the legend alone has their colours too.
    let text = fs::read_to_string(page).unwrap();
    let without = text.lines().filter(|line| !line.starts_with("<polyline"));
    let bare = folder.join("bare.html");
    fs::write(&bare, without.collect::<Vec<_>>().join("\n")).unwrap();
    let seen = colours(folder, &bare);
    println!("without the lines: {seen:?}");
    assert!(
        !is_there(&seen),
        "the plot is not what was looked at: {seen:?}"
    );
}

/// The lines of the three rings, the red dots of the real outages, and the green word.
const COLOURS: [&str; 5] = ["b45309", "0e7490", "1e3a8a", "b91c1c", "166534"];
/// Pixels of a line from one side of a plot to the other, at least; what a legend has is a fifth of that.
const LINE: usize = 300;

/// How many pixels of a page have each of [`COLOURS`].
fn colours(folder: &Folder, page: &Path) -> Vec<usize> {
    let browser = Path::new("/usr/bin/chromium-headless-shell");
    assert!(
        browser.exists(),
        "there is no browser to look at the report with: scripts/setup test installs one"
    );
    let picture = page.with_extension("png");
    let mut opened = Command::new(browser);
    opened
        .args(["--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("browser").display()
        ))
        .arg("--window-size=1000,4000")
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()));
    let output = finished(&mut opened);
    assert!(output.status.success(), "{output:?}");
    let look = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/drill/look.py");
    let mut looks = Command::new("python3");
    looks.arg(look).arg(&picture).args(COLOURS);
    let output = finished(&mut looks);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    told.split_whitespace()
        .map(|count| count.parse().unwrap())
        .collect()
}

/// A drill that runs, once its bed is there, and its bed.
fn running(folder: &Folder) -> (Child, PathBuf) {
    let mut command = drill(folder, &["O11-rules", "--json"]);
    let log = folder.log();
    command.stdout(Stdio::null()).stderr(log);
    let child = command.spawn().unwrap();
    let bed = until("a bed", || {
        let all = fs::read_dir(folder.join("")).ok()?.flatten();
        let mut beds = all.filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with("seawall-drill-")
        });
        let bed = beds.next()?.path();
        bed.join("late-6/up.json").exists().then_some(bed)
    });
    (child, bed)
}

#[test]
fn a_drill_that_is_interrupted_leaves_nothing() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        let folder = Folder::new();
        let (mut child, bed) = running(&folder);
        assert!(left(&folder).len() > 30, "a control and twelve edges");
        crate::up::send(child.id(), signal);
        child.wait().unwrap();
        until(&format!("nothing is left after signal {signal}"), || {
            (left(&folder).is_empty() && !bed.exists()).then_some(())
        });
    }
}

#[test]
fn a_machine_too_small_says_so_and_what_is_not_known_too() {
    let folder = Folder::new();
    let small = format!(
        "ulimit -n 200; TMPDIR={} exec {PROGRAM} drill O1",
        folder.join("").display()
    );
    let output = finished(Command::new("sh").args(["-c", &small]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("too small") && said.contains("ulimit -Hn"),
        "{said}"
    );
    assert!(left(&folder).is_empty());
    for (words, told) in [
        (&["O99"][..], "--list"),
        (&[], "--list"),
        (&["O1", "--report", "/nowhere/report.html"], "/nowhere"),
        (&["--guard", "/tmp"], "not the folder of a bed"),
    ] {
        let output = finished(&mut drill(&folder, words));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(told), "{said}");
    }
    let (code, listed) = lines(drill(&folder, &["--list", "--json", "O10", "O10a"]));
    assert_eq!((code, listed.len()), (Some(0), 7), "{listed:#?}");
    let output = finished(&mut drill(&folder, &["--list"]));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("2019-07-02") && said.contains("O17"),
        "{said}"
    );
}

/// The words by which a safeguard can be turned off, as the source of the feature has them.
#[test]
fn what_people_run_has_nothing_by_which_a_safeguard_is_turned_off() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/src/safeguard.rs");
    let source = fs::read_to_string(source).unwrap();
    let quoted = source.split('"').skip(1).step_by(2);
    let words: Vec<&str> = quoted
        .filter(|word| word.starts_with("unsafe-") || word.starts_with("SEAWALL_"))
        .collect();
    assert!(words.len() > 12, "{words:?}");
    let release = Path::new(PROGRAM).ancestors().nth(2).unwrap();
    let release = release.join("release/seawall");
    let mut programs = vec![PathBuf::from(PROGRAM)];
    if release.exists() {
        programs.push(release);
    } else {
        println!("skipped: there is no {} to look into", release.display());
    }
    for path in programs {
        let program = fs::read(&path).unwrap();
        let path = path.display();
        let has = |word: &str| {
            let mut parts = program.windows(word.len());
            parts.any(|part| part == word.as_bytes())
        };
        // What is looked for can be found.
        assert!(has("SEAWALL_SPEED") && has("drill:"), "{path}");
        for word in &words {
            assert!(!has(word), "{word} is in {path}");
        }
        // Nor the names of what they are asked by.
        assert!(
            !has("safeguard6is_off") && !has("safeguard8turn_off"),
            "{path}"
        );
    }
}

#[test]
#[ignore = "long: all drills, as people's own times are"]
fn all_outages_are_contained_at_the_speed_that_people_run() {
    let folder = Folder::new();
    let speed = std::env::var("SEAWALL_DRILL_SPEED").unwrap_or_else(|_| "1".into());
    let (code, told) = lines(drill(&folder, &["--all", "--json", "--speed", &speed]));
    for one in &told {
        let id = one["id"].as_str().unwrap();
        println!(
            "measured: drill {id}, requests right = {} of 1",
            one["sr_global"]
        );
        println!(
            "measured: drill {id}, bad answers = {} of {}",
            one["bad"], one["requests"]
        );
        if let Some(after) = one["reverted_after_s"].as_f64() {
            println!("measured: drill {id}, first bad answer to the way back = {after} s");
        }
    }
    assert_eq!(code, Some(0), "{told:#?}");
}
