//! `orrery down`.

use crate::arguments::DownOptions;
use crate::controller::SILENCE_LIMIT;
use crate::instance_file::{InstanceFile, Kind, started_ticks};
use crate::output::Output;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often the end of the daemon is looked for; it is no child of ours, so nothing tells us.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) fn down(options: &DownOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.path()?;
    let mut out = Output::new();
    let Some(running) = InstanceFile::read(&data) else {
        writeln!(out, "No cluster runs on {}.", data.display())?;
        return Ok(ExitCode::SUCCESS);
    };
    let agent = running.kind == Kind::Agent;
    let signal = if agent && options.stop_tasks { Signal::SIGUSR1 } else { Signal::SIGTERM };
    kill(Pid::from_raw(running.pid), signal)?;
    let deadline = Instant::now() + Duration::from_secs(options.timeout);
    while started_ticks(running.pid) == Some(running.started_ticks) {
        if Instant::now() > deadline {
            anyhow::bail!(
                "process {} is still stopping its tasks after {} s; run `orrery down` again to go on waiting",
                running.pid,
                options.timeout
            );
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    if running.kind == Kind::Controller {
        writeln!(out, "Stopped the controller on {}. Tasks run on; start it again with `orrery controller`.", data.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    match (agent, options.stop_tasks) {
        (false, _) => writeln!(out, "Stopped the cluster on {}. Its apps come back with `orrery up`.", data.display())?,
        (true, true) => writeln!(out, "Stopped the agent on {} and its tasks.", data.display())?,
        (true, false) => writeln!(
            out,
            "Stopped the agent on {}. Its tasks run on; `orrery agent` on the same directory takes them up. Start it within {} s: \
             later its tasks count as lost, and each app's unreachableStrategy says when others start elsewhere (by default at \
             once). For longer work drain the node first, with `dcos node drain`.",
            data.display(),
            SILENCE_LIMIT.as_secs_f32()
        )?,
    }
    Ok(ExitCode::SUCCESS)
}
