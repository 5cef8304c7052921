//! The spawner as a program of its own: `orrery-spawner spawner <directory>`.

use std::process::ExitCode;

fn main() -> ExitCode {
    orrery_agent::spawner_main(std::env::args_os().skip(2))
}
