//! What `orrery up` refuses before it touches anything.

use crate::arguments::UpOptions;

/// Names are answered for this machine only; the door itself asks for a login elsewhere.
pub(crate) fn check(options: &UpOptions) -> anyhow::Result<()> {
    let address = options.dns_listen;
    anyhow::ensure!(
        address.ip().is_loopback(),
        "--dns-listen {address}: names are answered on loopback addresses only, because an open resolver is used for attacks; \
         use 127.0.0.1 or [::1]"
    );
    Ok(())
}
