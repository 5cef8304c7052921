//! `orrery status`.

use crate::arguments::StatusOptions;
use crate::instance_file::InstanceFile;
use crate::output::Output;
use std::io::Write as _;
use std::process::ExitCode;

pub(crate) fn status(options: &StatusOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.path()?;
    let mut out = Output::new();
    let running = InstanceFile::read(&data);
    if options.json {
        let mut value = serde_json::json!({ "running": running.is_some(), "dataDir": data });
        if let (Some(running), Some(fields)) = (&running, value.as_object_mut()) {
            fields.extend(serde_json::to_value(running)?.as_object().cloned().unwrap_or_default());
        }
        writeln!(out, "{value:#}")?;
    } else if let Some(running) = &running {
        writeln!(out, "running    {}", running.url)?;
        writeln!(out, "dns        {}", running.dns)?;
        writeln!(out, "cluster    {}", running.cluster_id)?;
        if let Some(authority) = &running.authority {
            writeln!(out, "authority  sha256 {authority}")?;
        }
        writeln!(out, "process    {} (orrery {})", running.pid, running.version)?;
        writeln!(out, "data       {}", data.display())?;
        if let Some(outage) = &running.store_outage {
            writeln!(out, "fault      {outage}")?;
        }
    } else if crate::controller::identity::is_controller(&data) {
        crate::announce(&format!("The controller on {} does not run; start it with `orrery controller`.", data.display()));
    } else {
        crate::announce(&format!("No cluster runs on {}; start one with `orrery up`.", data.display()));
    }
    // Scripts ask `orrery status && …`; 3 as service managers answer for "not running".
    Ok(if running.is_some() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
