//! Users that tasks run as.

use crate::spawner::Identity;
use nix::unistd::{Gid, User, getgrouplist};
use std::ffi::CString;
use std::path::Path;

/// Looks a user up by name or number; `None` when the task runs as the agent's own user.
pub(crate) fn lookup(user: Option<&str>) -> Result<Option<Identity>, String> {
    let Some(name) = user else { return Ok(None) };
    let fail = |error: nix::errno::Errno| format!("cannot look up user \"{name}\" on this node: {}", error.desc());
    let found = match name.parse::<u32>() {
        Ok(number) => User::from_uid(nix::unistd::Uid::from_raw(number)).map_err(fail)?,
        Err(_) => User::from_name(name).map_err(fail)?,
    };
    let Some(found) = found else {
        return Err(format!("user \"{name}\" does not exist on this node; create it there or change \"user\""));
    };
    let me = nix::unistd::geteuid();
    if found.uid == me {
        return Ok(None);
    }
    if !me.is_root() {
        return Err(format!("this agent does not run as root and can only run tasks as its own user, not as \"{name}\""));
    }
    let c_name = CString::new(found.name).map_err(|_| format!("user \"{name}\" has an impossible name"))?;
    let groups = getgrouplist(&c_name, found.gid).map_err(fail)?;
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Ok(Some(Identity { uid: found.uid.as_raw(), gid: found.gid.as_raw(), groups }))
}

/// Gives a directory and everything below it to `identity`, never following links. The directory
/// itself goes last: until then no process of that user can exchange what is inside.
pub(crate) fn chown_tree(path: &Path, identity: &Identity) -> std::io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            chown_tree(&entry?.path(), identity)?;
        }
    }
    std::os::unix::fs::lchown(path, Some(identity.uid), Some(identity.gid))
}
