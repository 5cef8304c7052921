//! Tells the linker how to write down the relative relocations of the daemon.

use std::env;
use std::process::Command;

/// First glibc, as (major, minor), that reads packed relocations.
const FIRST_GLIBC: (u32, u32) = (2, 36);

/// A process reads all its relocations when it starts, and they stay resident: written one by one they
/// take three times the memory of the pointers that they are for, packed nearly nothing. An older
/// glibc would refuse to start such a program, so that one that is built there goes without.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let native = env::var("HOST") == env::var("TARGET");
    let gnu = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux")
        && env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|library| library == "gnu");
    if native && gnu && glibc().is_some_and(|version| version >= FIRST_GLIBC) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Version of this machine's glibc.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
