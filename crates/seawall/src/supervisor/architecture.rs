//! Whether a file can be a program on this machine, before it is started. Of one that the kernel does not know the C library makes a
//! script, and has a shell run what was made for another machine.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How a program begins (elf(5)): who it is, and up to its machine.
const BEGINNING: u64 = 20;
const MAGIC: &[u8] = b"\x7fELF";

/// Why a file is no program for this machine. Whether it can be started at all, the start tells: one that cannot be read may be.
///
/// # Errors
/// What it is instead.
pub fn fits(program: &Path) -> Result<(), String> {
    let (Some(own), Some(new)) = (beginning(Path::new("/proc/self/exe")), beginning(program))
    else {
        return Ok(());
    };
    judge(&own, &new).map_err(|why| format!("{} {why}", program.display()))
}

/// None if it is no file, or cannot be read.
fn beginning(path: &Path) -> Option<Vec<u8>> {
    // A pipe would be waited for.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(BEGINNING).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// By how our own program and the new one begin.
fn judge(own: &[u8], new: &[u8]) -> Result<(), String> {
    if new.starts_with(b"#!") {
        return Ok(());
    }
    let Some(is) = Machine::of(new) else {
        return Err("is no program (no ELF)".into());
    };
    match Machine::of(own) {
        Some(ours) if ours != is => Err(format!(
            "is for another architecture ({}, this is {})",
            is.name(),
            ours.name()
        )),
        _ => Ok(()),
    }
}

/// What a program is for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Machine {
    /// `EI_CLASS`: 1 for 32 bits, 2 for 64.
    class: u8,
    /// `EI_DATA`: 1 for the lower byte first, 2 for the higher.
    order: u8,
    /// `e_machine`.
    number: u16,
}

impl Machine {
    fn of(beginning: &[u8]) -> Option<Self> {
        if !beginning.starts_with(MAGIC) {
            return None;
        }
        let (class, order) = (*beginning.get(4)?, *beginning.get(5)?);
        let number = [*beginning.get(18)?, *beginning.get(19)?];
        let number = match order {
            2 => u16::from_be_bytes(number),
            _ => u16::from_le_bytes(number),
        };
        Some(Self {
            class,
            order,
            number,
        })
    }

    /// As `uname -m` has it.
    fn name(self) -> String {
        let name = match (self.number, self.class, self.order) {
            (3, ..) => "i686",
            (21, _, 1) => "ppc64le",
            (21, ..) => "ppc64",
            (22, ..) => "s390x",
            (40, ..) => "arm",
            (62, 1, _) => "x86_64 with 32-bit pointers",
            (62, ..) => "x86_64",
            (183, _, 2) => "aarch64_be",
            (183, ..) => "aarch64",
            (243, 1, _) => "riscv32",
            (243, ..) => "riscv64",
            (258, ..) => "loongarch64",
            (number, ..) => return format!("machine {number} of elf(5)"),
        };
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a program for this machine begins.
    fn program(class: u8, order: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([class, order, 1]);
        bytes.resize(16, 0);
        bytes.extend([3, 0]);
        bytes.extend(machine);
        bytes
    }

    #[test]
    fn a_program_is_for_this_machine_or_a_script() {
        let ours = program(2, 1, [62, 0]);
        let arm = program(2, 1, [183, 0]);
        let old = program(1, 1, [3, 0]);
        let mainframe = program(2, 2, [0, 22]);
        let odd = program(2, 1, [0, 1]);
        let is = |new: &[u8]| judge(&ours, new);
        assert_eq!(is(&ours), Ok(()));
        assert_eq!(is(b"#!/bin/sh\nexit 7\n"), Ok(()));
        for none in [&b""[..], b"no program", b"\x7fELF", b"#"] {
            assert_eq!(is(none), Err("is no program (no ELF)".into()));
        }
        for (new, name) in [
            (&arm, "aarch64"),
            (&old, "i686"),
            (&mainframe, "s390x"),
            (&odd, "machine 256 of elf(5)"),
        ] {
            let why = format!("is for another architecture ({name}, this is x86_64)");
            assert_eq!(is(new), Err(why));
        }
        // Where our own is not known, nothing is compared.
        assert_eq!(judge(b"", &arm), Ok(()));
    }

    #[test]
    fn what_runs_here_fits_and_what_is_no_file_is_told_by_its_start() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(fits(&own), Ok(()));
        assert_eq!(fits(Path::new("/bin/sh")), Ok(()));
        assert_eq!(fits(Path::new("/dev/null")), Ok(()));
        assert_eq!(fits(&own.join("none")), Ok(()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, "text").unwrap();
        let why = format!("{} is no program (no ELF)", path.display());
        assert_eq!(fits(&path), Err(why));
    }
}
