//! What `packaging/` promises: units that systemd understands, a Debian package whose scripts leave alone what somebody has
//! switched off, a container that starts. The program is started by their very words.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tools::curl;
use crate::up::{Folder, Up, finished};

const PROGRAM: &str = env!("CARGO_BIN_EXE_seawall");

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// This program by these words, with nothing of the surroundings.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEAWALL_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// It serves, and ends when it is told to.
fn serves(mut up: Up) {
    let answer = curl(&["--header", "Accept: text/html", &up.url("/")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("<title>"), "{}", answer.text());
    up.signal(libc::SIGTERM);
    assert_eq!(up.ended().code(), Some(0), "{}", up.log());
}

/// The program as the unit starts it, with this file, a data folder and ports of our own.
fn by_the_unit(program: &Path, unit: &str, config: &Path) -> Up {
    let folder = Folder::new();
    let mut words = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .expect("ExecStart=")
        .split_whitespace();
    assert_eq!(words.next(), Some("/usr/bin/seawall"));
    let mut command = command(program);
    for word in words {
        match word {
            "/etc/seawall/seawall.toml" => command.arg(config),
            "/var/lib/seawall" => command.arg(folder.join("data")),
            word => command.arg(word),
        };
    }
    for listener in ["--http", "--https", "--admin"] {
        command.args([listener, "127.0.0.1:0"]);
    }
    command.stdout(folder.log());
    Up::spawned(folder, command)
}

#[test]
fn the_unit_starts_what_serves() {
    let unit = text("packaging/seawall.service");
    let config = path("packaging/seawall.toml");
    serves(by_the_unit(Path::new(PROGRAM), &unit, &config));
}

/// What systemd says of these units; none where there is no systemd. It takes what it does not know, and says so.
fn complaints(service: &str) -> Option<String> {
    let folder = Folder::new();
    let units = [
        folder.write("seawall.service", service),
        folder.write("seawall.socket", &text("packaging/seawall.socket")),
    ];
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).args(units);
    let output = verify.stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    // Of the machine's own units it speaks too.
    let ours = said.lines().filter(|line| line.contains("seawall"));
    Some(ours.collect::<Vec<_>>().join("\n"))
}

#[test]
fn systemd_understands_the_units() {
    let service = text("packaging/seawall.service").replace("/usr/bin/seawall", PROGRAM);
    let Some(said) = complaints(&service) else {
        println!("skipped: there is no systemd-analyze");
        return;
    };
    assert_eq!(said, "");
    // What is misspelt would be told.
    let misspelt = service.replace("NoNewPrivileges", "NoNewPriviledges");
    assert_ne!(complaints(&misspelt).unwrap(), "");
}

/// A value of the table that `cargo deb` reads.
fn of_deb(key: &str) -> Value {
    let manifest = text("crates/seawall/Cargo.toml");
    let (_, table) = manifest.split_once("[package.metadata.deb]\n").unwrap();
    let mut lines = table.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    let value = value.unwrap_or_else(|| panic!("no {key}"));
    if value != "[" {
        return serde_json::from_str(value).unwrap();
    }
    let entries = lines.take_while(|line| *line != "]");
    let entries =
        entries.map(|line| serde_json::from_str::<Value>(line.trim().trim_end_matches(',')));
    entries.collect::<Result<Value, _>>().unwrap()
}

/// The names of the files that an asset's path stands for.
fn named(pattern: &str) -> Vec<String> {
    let file = Path::new("crates/seawall").join(pattern);
    let file = path(file.to_str().unwrap());
    let name = file.file_name().unwrap().to_str().unwrap();
    let Some(end) = name.strip_prefix('*') else {
        assert!(file.is_file(), "{pattern}");
        return vec![name.to_owned()];
    };
    let entries = fs::read_dir(file.parent().unwrap()).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<_> = names.filter(|name| name.ends_with(end)).collect();
    assert!(!names.is_empty(), "{pattern}");
    names
}

#[test]
fn the_debian_package_names_files_that_are_there() {
    let mut places = BTreeSet::new();
    for asset in of_deb("assets").as_array().unwrap() {
        let [from, to] = [0usize, 1].map(|at| asset[at].as_str().unwrap());
        let names = match from {
            // What is built first.
            "target/release/seawall" => vec!["seawall".to_owned()],
            from => named(from),
        };
        places.extend(names.iter().map(|name| format!("/{to}{name}")));
    }
    for wanted in [
        "/usr/bin/seawall",
        "/lib/systemd/system/seawall.service",
        "/lib/systemd/system/seawall.socket",
    ] {
        assert!(places.contains(wanted), "{wanted}: {places:?}");
    }
    let kept = of_deb("conf-files");
    assert_eq!(kept, serde_json::json!(["/etc/seawall/seawall.toml"]));
    assert!(places.contains("/etc/seawall/seawall.toml"));
    named(of_deb("license-file")[0].as_str().unwrap());
    assert_eq!(of_deb("maintainer-scripts"), "../../packaging/debian/");
}

/// A machine on which a script of the package runs: whether it has the user, whether Seawall runs, whether it is enabled.
struct Machine {
    user: bool,
    active: bool,
    enabled: bool,
}

/// Stands for what changes a machine, and tells what it was told.
const TELLS: &str = r#"
told() { echo "$*" >>"$TOLD"; }
getent() { return "$USER_IS"; }
useradd() { told useradd; }
install() { told install; }
runuser() { told runuser "$@"; }
systemctl() {
  case "$1" in
    is-active) return "$ACTIVE" ;;
    is-enabled) return "$ENABLED" ;;
  esac
  told systemctl "$@"
}
"#;

impl Machine {
    /// What a script that dpkg calls so does to it.
    fn after(&self, script: &str, words: &[&str]) -> Vec<String> {
        let folder = Folder::new();
        let systemd = folder.join("run");
        fs::create_dir(&systemd).unwrap();
        let script = text(&format!("packaging/debian/{script}"))
            .replace("/run/systemd/system", systemd.to_str().unwrap())
            .replace("/etc/systemd/system", folder.join("etc").to_str().unwrap());
        let code = |is: bool| if is { "0" } else { "1" };
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{TELLS}{script}"), "script"])
            .args(words)
            .env("TOLD", folder.join("told"))
            .env("USER_IS", code(self.user))
            .env("ACTIVE", code(self.active))
            .env("ENABLED", code(self.enabled));
        let output = finished(&mut shell);
        assert!(output.status.success(), "{words:?}: {output:?}");
        let told = fs::read_to_string(folder.join("told")).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }
}

const RELOADS: &str = "systemctl daemon-reload";

#[test]
fn a_first_installation_makes_the_user_and_starts_it() {
    let machine = Machine {
        user: false,
        active: false,
        enabled: true,
    };
    let (enables, starts) = (
        "systemctl enable seawall.service",
        "systemctl start seawall.service",
    );
    assert_eq!(
        machine.after("postinst", &["configure"]),
        ["useradd", "install", RELOADS, enables, starts]
    );
    assert!(machine.after("postinst", &["abort-remove"]).is_empty());
    // Installed again after it was removed: as it was.
    assert_eq!(
        machine.after("postinst", &["configure", "0.1.0"]),
        ["useradd", "install", RELOADS, starts]
    );
}

#[test]
fn a_newer_package_upgrades_what_serves_and_starts_nothing_that_is_off() {
    let mut machine = Machine {
        user: true,
        active: true,
        enabled: true,
    };
    let upgrades = "runuser -u seawall -- /usr/bin/seawall upgrade --data /var/lib/seawall";
    assert_eq!(
        machine.after("postinst", &["configure", "0.1.0"]),
        ["install", RELOADS, upgrades]
    );
    (machine.active, machine.enabled) = (false, false);
    assert_eq!(
        machine.after("postinst", &["configure", "0.1.0"]),
        ["install", RELOADS]
    );
    assert!(machine.after("prerm", &["upgrade", "0.2.0"]).is_empty());
    assert_eq!(
        machine.after("prerm", &["remove"]),
        ["systemctl stop seawall.socket seawall.service"]
    );
    for word in ["remove", "purge"] {
        assert_eq!(machine.after("postrm", &[word]), [RELOADS]);
    }
    let help = finished(command(Path::new(PROGRAM)).args(["upgrade", "--help"]));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("--data"), "{help}");
}

/// The words of an instruction that is written as a list.
fn words(container: &str, instruction: &str) -> Vec<String> {
    let mut lines = container.lines();
    let list = lines.find_map(|line| line.strip_prefix(instruction));
    serde_json::from_str(list.unwrap_or_else(|| panic!("no {instruction}"))).unwrap()
}

#[test]
fn the_container_is_made_of_what_is_there_and_starts_what_serves() {
    let container = text("packaging/Containerfile");
    for line in container.lines() {
        let Some(copied) = line.strip_prefix("COPY ") else {
            continue;
        };
        let mut parts = copied.split_whitespace();
        match parts.next().unwrap() {
            "--from=build" => assert_eq!(
                parts.collect::<Vec<_>>(),
                ["/seawall/target/release/seawall", "/usr/bin/seawall"]
            ),
            from => assert!(path(from).exists(), "{line}"),
        }
    }
    // What it is built of is not what was built here.
    let ignored = text(".dockerignore");
    for folder in ["/target", "**/node_modules"] {
        assert!(ignored.lines().any(|line| line == folder), "{folder}");
    }

    let folder = Folder::new();
    let data = folder.join("data");
    let in_it = |words: &[String]| {
        let mut inside = command(Path::new(PROGRAM));
        inside.args(words).env("SEAWALL_DATA", &data);
        inside
    };
    assert!(container.contains("\nENV SEAWALL_DATA=/data\nVOLUME /data\n"));
    assert_eq!(words(&container, "ENTRYPOINT "), ["/usr/bin/seawall"]);
    let mut starts = in_it(&words(&container, "CMD "));
    for listener in ["SEAWALL_HTTP", "SEAWALL_HTTPS", "SEAWALL_ADMIN"] {
        starts.env(listener, "127.0.0.1:0");
    }
    starts.env("SEAWALL_DASHBOARD", "none");
    starts.env("SEAWALL_STATUS_PAGE", "none");
    starts.stdout(folder.log());
    let up = Up::spawned(folder, starts);
    let health = words(&container, "HEALTHCHECK CMD ");
    assert_eq!(health[0], "/usr/bin/seawall");
    let healthy = finished(&mut in_it(&health[1..]));
    assert!(healthy.status.success(), "{healthy:?}\n{}", up.log());
    serves(up);
    let help = finished(&mut in_it(&["up".to_owned(), "--help".to_owned()]));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(container.contains("\nEXPOSE 8080 8443\n"));
    for port in ["0.0.0.0:8080", "0.0.0.0:8443"] {
        assert!(help.contains(port), "{help}");
    }
}

/// Runs a tool of Debian's.
fn run(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
}

#[test]
#[ignore = "long: packs the release program, where that was built and cargo-deb is installed"]
fn the_debian_package_has_a_program_that_serves() {
    let release = Path::new(PROGRAM).ancestors().nth(2).unwrap();
    let release = release.join("release/seawall");
    let packer = Command::new("cargo").args(["deb", "--version"]).output();
    if !release.exists() || !packer.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: there is no {}, or no cargo-deb",
            release.display()
        );
        return;
    }
    let folder = Folder::new();
    let [package, tree, control] = ["seawall.deb", "tree", "control"].map(|name| folder.join(name));
    let [package, tree, control] = [&package, &tree, &control].map(|path| path.to_str().unwrap());
    let manifest = path("Cargo.toml");
    run(
        "cargo",
        &[
            "deb",
            "--manifest-path",
            manifest.to_str().unwrap(),
            "--package",
            "seawall",
            "--no-build",
            "--output",
            package,
        ],
    );
    run("dpkg-deb", &["--extract", package, tree]);
    run("dpkg-deb", &["--control", package, control]);
    let control = Path::new(control);
    let kept = fs::read_to_string(control.join("conffiles")).unwrap();
    assert_eq!(kept.trim(), "/etc/seawall/seawall.toml");
    for script in ["postinst", "prerm", "postrm"] {
        assert!(control.join(script).exists(), "{script}");
    }
    let tree = Path::new(tree);
    let unit = tree.join("lib/systemd/system/seawall.service");
    let unit = fs::read_to_string(unit).unwrap();
    let program = tree.join("usr/bin/seawall");
    let config = tree.join("etc/seawall/seawall.toml");
    serves(by_the_unit(&program, &unit, &config));
}
