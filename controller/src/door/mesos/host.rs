//! Load and memory of the machine the master runs on, from `/proc`.

use serde_json::{Map, Value, json};

const LOAD_FILE: &str = "/proc/loadavg";
const MEMORY_FILE: &str = "/proc/meminfo";

#[derive(Debug, Default, PartialEq)]
struct Host {
    /// Over 1, 5 and 15 minutes.
    load: Option<[f64; 3]>,
    /// Bytes.
    memory_total: Option<u64>,
    memory_free: Option<u64>,
    cpus: Option<usize>,
}

/// `system/…` metrics; those that cannot be read are left out.
pub(super) async fn metrics() -> Value {
    named(&read().await, ["system/load_1min", "system/load_5min", "system/load_15min"], "system/")
}

/// `/system/stats.json`.
pub(super) async fn stats() -> Value {
    named(&read().await, ["avg_load_1min", "avg_load_5min", "avg_load_15min"], "")
}

async fn read() -> Host {
    let (load, memory) = tokio::join!(tokio::fs::read_to_string(LOAD_FILE), tokio::fs::read_to_string(MEMORY_FILE));
    let cpus = std::thread::available_parallelism().ok().map(Into::into);
    Host { cpus, ..parse(&load.unwrap_or_default(), &memory.unwrap_or_default()) }
}

fn parse(load: &str, memory: &str) -> Host {
    let mut numbers = load.split_whitespace().map_while(|text| text.parse().ok());
    let load = (|| Some([numbers.next()?, numbers.next()?, numbers.next()?]))();
    let bytes = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Host { load, memory_total: bytes("MemTotal"), memory_free: bytes("MemFree"), cpus: None }
}

fn named(host: &Host, load_names: [&str; 3], prefix: &str) -> Value {
    let mut map = Map::new();
    for (name, load) in load_names.iter().zip(host.load.into_iter().flatten()) {
        map.insert((*name).to_owned(), json!(load));
    }
    let others = [
        ("cpus_total", host.cpus.map(|cpus| cpus as f64)),
        ("mem_total_bytes", host.memory_total.map(|bytes| bytes as f64)),
        ("mem_free_bytes", host.memory_free.map(|bytes| bytes as f64)),
    ];
    for (name, value) in others {
        if let Some(value) = value {
            map.insert(format!("{prefix}{name}"), json!(value));
        }
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc() {
        let host = parse("0.50 1.25 2.00 1/99 1234\n", "MemTotal:       2048 kB\nMemFree:  1024 kB\nMemAvailable: 1 kB\n");
        assert_eq!(
            host,
            Host { load: Some([0.5, 1.25, 2.0]), memory_total: Some(2 << 20), memory_free: Some(1 << 20), cpus: None }
        );
        assert_eq!(named(&host, ["a", "b", "c"], "system/")["system/mem_free_bytes"], json!(1_048_576.0));
        assert_eq!(parse("", "MemTotal: lots"), Host::default());
        assert_eq!(named(&Host::default(), ["a", "b", "c"], ""), json!({}));
    }
}
