//! Edits of apps: create, change, remove, restart, kill, roll back.

use super::app_record::{AppRecord, VERSIONS_MAX};
use super::draft::{Draft, EditError};
use super::draft_holds::check_volumes;
use super::pending::RemovedApp;
use super::{Event, keys, service_ports};
use crate::app::App;
use crate::deployment::{Action, ActionKind, Deployment, circle, order};
use crate::instance::Goal;
use crate::{AppId, Fault, InstanceId, TaskId, Timestamp};
use imbl::Vector;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Largest stored document, bytes: an app, or a deployment. Stores take entries up to about 1 MiB.
const DOCUMENT_BYTES_MAX: usize = 768 << 10;

/// One change of a deployment.
#[derive(Debug, Clone)]
pub enum AppEdit {
    /// Create the app; it must not exist.
    Create(App),
    /// Create or replace the app.
    Put(App),
    /// Go back to an earlier definition, whose instances that still run count as current.
    Restore(App),
    /// Remove the app.
    Remove(AppId),
    /// Replace all instances.
    Restart(AppId),
    /// Set the number of instances.
    Scale(AppId, u32),
}

impl AppEdit {
    const fn id(&self) -> &AppId {
        match self {
            Self::Create(app) | Self::Put(app) | Self::Restore(app) => &app.id,
            Self::Remove(id) | Self::Restart(id) | Self::Scale(id, _) => id,
        }
    }
}

/// Tasks to stop.
#[derive(Debug, Clone)]
pub struct KillRequest {
    /// Which.
    pub tasks: Vec<TaskId>,
    /// Lower `instances` by as many.
    pub scale: bool,
    /// Do not launch in the same place: a new instance takes over.
    pub wipe: bool,
    /// Cancel deployments in the way.
    pub force: bool,
}

/// What no store would take is refused here: a step that cannot be stored is lost as a whole, with
/// what everybody else asked for in it.
fn check_sizes(changes: &[Change]) -> Result<(), EditError> {
    let faults: Vec<Fault> = changes
        .iter()
        .filter_map(|(_, id, app)| {
            let bytes = serde_json::to_vec(app.as_ref()?).map_or(0, |bytes| bytes.len());
            let kib = bytes >> 10;
            (bytes > DOCUMENT_BYTES_MAX).then(|| {
                let most = DOCUMENT_BYTES_MAX >> 10;
                Fault::new(
                    "/",
                    format!("the definition of {id} takes {kib} KiB, the most is {most}; let tasks fetch what is large"),
                )
            })
        })
        .collect();
    if !faults.is_empty() {
        return Err(EditError::Invalid(faults));
    }
    // Each app stands in a deployment's steps, pending apps and previous versions.
    let deployment: usize = changes.iter().map(|(_, id, _)| 3 * id.as_str().len() + 120).sum();
    if deployment > DOCUMENT_BYTES_MAX {
        let message = format!("{} apps are too many for one deployment; split the change", changes.len());
        return Err(EditError::Invalid(vec![Fault::new("/", message)]));
    }
    Ok(())
}

/// One deployment takes an app to one goal.
fn check_unique(ids: &[AppId]) -> Result<(), EditError> {
    let mut seen = BTreeSet::new();
    let twice = ids.iter().enumerate().filter(|(_, id)| !seen.insert(*id));
    let faults: Vec<Fault> = twice
        .map(|(index, id)| Fault::new(format!("/{index}/id"), format!("{id} is declared twice; keep one of them")))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(EditError::Invalid(faults)) }
}

/// What an edit amounts to: the action, the app and its new definition, none when it is removed.
type Change = (ActionKind, AppId, Option<App>);

impl Draft {
    /// Applies the edits as one deployment and returns it; `None` when nothing changes.
    ///
    /// # Errors
    /// All or nothing: on any error the draft is as before.
    pub fn edit(&mut self, edits: Vec<AppEdit>, force: bool, uri: &str) -> Result<Option<Arc<Deployment>>, EditError> {
        let ids: Vec<AppId> = edits.iter().map(|edit| edit.id().clone()).collect();
        check_unique(&ids)?;
        let version = self.next_version(edits.iter().map(AppEdit::id));
        let mut changes: Vec<Change> = Vec::new();
        let mut ports = self.cluster.clone();
        for edit in edits {
            if let Some(change) = self.change(edit, version, &mut ports)? {
                changes.push(change);
            }
        }
        if changes.is_empty() {
            return Ok(None);
        }
        check_sizes(&changes)?;
        self.check_circles(&changes)?;
        // After the edits: what is wrong in itself is told as such, forcing would not help.
        self.check_locks(ids.iter(), force)?;
        let previous = changes.iter().map(|(_, id, _)| (id.clone(), self.cluster.app(id).map(|app| app.version))).collect();
        let pending: BTreeSet<AppId> = changes.iter().map(|(_, id, _)| id.clone()).collect();
        self.cancel_deployments(&pending);
        let actions = changes.iter().map(|(action, id, _)| Action { action: *action, app: id.clone() }).collect();
        let mut removed = Vector::new();
        for (_, id, app) in changes {
            match app {
                Some(app) => self.put_app(app, uri),
                None => removed.extend(self.remove_app(&id)),
            }
        }
        let steps = order(actions, |id| self.cluster.app(id).map(AsRef::as_ref));
        let id = self.entropy.next_uuid().to_string();
        let deployment = Arc::new(Deployment { id: id.clone(), version, steps, previous, pending });
        self.write(keys::deployment(&id), &*deployment);
        let id: Arc<str> = id.into();
        if !removed.is_empty() {
            self.cluster.removed.insert(Arc::clone(&id), removed);
        }
        self.cluster.deployments.insert(id, Arc::clone(&deployment));
        self.events.push(Event::GroupChanged { version });
        self.events.push(Event::DeploymentStarted { deployment: Arc::clone(&deployment) });
        Ok(Some(deployment))
    }

    /// Refuses changes that make apps depend on each other in a circle (marathon.md 1.4).
    fn check_circles(&self, changes: &[Change]) -> Result<(), EditError> {
        let changed: BTreeMap<&str, Option<&App>> = changes.iter().map(|(_, id, app)| (id.as_str(), app.as_ref())).collect();
        let starts = changes.iter().filter(|(_, _, app)| app.as_ref().is_some_and(|app| !app.dependencies.is_empty()));
        let needs = |id: &AppId| {
            let app = changed.get(id.as_str()).copied().unwrap_or_else(|| self.cluster.app(id).map(AsRef::as_ref));
            let mut needed = Vec::new();
            for dependency in app.iter().flat_map(|app| &app.dependencies) {
                let meant = |other: &AppId| other == dependency || (other.is_below(dependency.as_str()) && other != id);
                // Ids below a group follow it in order, but for names such as `/a-b` between `/a` and `/a/b`.
                let present = self.cluster.apps.range(dependency.clone()..).map(|(other, _)| other);
                let present = present.take_while(|other| other.as_str().starts_with(dependency.as_str()));
                needed.extend(present.filter(|other| meant(other)).cloned());
                needed.extend(changes.iter().map(|(_, other, _)| other).filter(|other| meant(other)).cloned());
            }
            needed
        };
        let Some(circle) = circle(starts.map(|(_, id, _)| id), needs) else { return Ok(()) };
        let names: Vec<&str> = circle.iter().map(AppId::as_str).collect();
        let message = format!("has cyclic dependencies: {} → {}; remove one of them", names.join(" → "), names[0]);
        Err(EditError::Invalid(vec![Fault::new("/dependencies", message)]))
    }

    /// The action and the new definition an edit amounts to. `ports` collects service ports given
    /// out within the same deployment.
    fn change(&self, edit: AppEdit, version: Timestamp, ports: &mut super::Cluster) -> Result<Option<Change>, EditError> {
        let current = self.cluster.app(edit.id()).cloned();
        let existing = |id: &AppId| current.clone().ok_or_else(|| EditError::NoApp(id.clone()));
        let mut config_of = None;
        let mut app = match edit {
            AppEdit::Restore(app) => {
                config_of = Some(app.version_info.last_config_change_at);
                app
            }
            AppEdit::Create(app) if current.is_some() => return Err(EditError::Exists(app.id)),
            AppEdit::Create(app) | AppEdit::Put(app) => app,
            AppEdit::Remove(id) => {
                existing(&id)?;
                return Ok(Some((ActionKind::StopApplication, id, None)));
            }
            AppEdit::Restart(id) => {
                let mut app = (*existing(&id)?).clone();
                app.version = version;
                app.version_info.last_config_change_at = version;
                return Ok(Some((ActionKind::RestartApplication, id, Some(app))));
            }
            AppEdit::Scale(id, instances) => App { instances, ..(*existing(&id)?).clone() },
        };
        let mut faults = current.as_ref().map_or_else(Vec::new, |current| check_volumes(current, &app));
        match self.group_role(&app, current.as_deref()) {
            Ok(role) => app.role = role,
            Err(fault) => faults.push(fault),
        }
        if !faults.is_empty() {
            return Err(EditError::Invalid(faults));
        }
        if let Some(current) = &current {
            service_ports::release(ports, &app.id, current);
        }
        service_ports::assign(ports, &mut app, current.as_deref()).map_err(|fault| EditError::Invalid(vec![fault]))?;
        service_ports::hold(ports, &app);
        let id = app.id.clone();
        app.version = version;
        let Some(current) = current else {
            app.version_info.last_scaling_at = version;
            app.version_info.last_config_change_at = version;
            return Ok(Some((ActionKind::StartApplication, id, Some(app))));
        };
        app.version_info = current.version_info;
        if current.replaces_tasks(&app) {
            app.version_info.last_scaling_at = version;
            app.version_info.last_config_change_at = config_of.unwrap_or(version);
            return Ok(Some((ActionKind::RestartApplication, id, Some(app))));
        }
        if app.instances == current.instances {
            return Ok(None);
        }
        app.version_info.last_scaling_at = version;
        Ok(Some((ActionKind::ScaleApplication, id, Some(app))))
    }

    /// A version later than every version of the apps, and than those that instances of a removed
    /// app of the same id still run.
    fn next_version<'a>(&self, ids: impl Iterator<Item = &'a AppId>) -> Timestamp {
        let versions = |id: &'a AppId| {
            let running = self.cluster.instances_of(id).map(|instance| instance.app.version);
            running.chain(self.cluster.app(id).map(|app| app.version))
        };
        ids.flat_map(versions).map(|version| version.plus_millis(1)).fold(self.now, Timestamp::max)
    }

    fn check_locks<'a>(&self, ids: impl Iterator<Item = &'a AppId>, force: bool) -> Result<(), EditError> {
        if force {
            return Ok(());
        }
        let locks: BTreeSet<Arc<str>> = ids
            .flat_map(|id| {
                self.cluster
                    .deployments
                    .iter()
                    .filter(move |(_, deployment)| deployment.affected().any(|affected| affected == id))
            })
            .map(|(deployment, _)| Arc::clone(deployment))
            .collect();
        if locks.is_empty() { Ok(()) } else { Err(EditError::Locked(locks.into_iter().collect())) }
    }

    /// Ends deployments that touch any of `ids`: the newer change supersedes them.
    fn cancel_deployments(&mut self, ids: &BTreeSet<AppId>) {
        let superseded: Vec<Arc<Deployment>> = self
            .cluster
            .deployments
            .values()
            .filter(|deployment| deployment.affected().any(|app| ids.contains(app)))
            .cloned()
            .collect();
        for deployment in superseded {
            self.end_deployment(&deployment, false);
        }
    }

    pub(super) fn end_deployment(&mut self, deployment: &Arc<Deployment>, success: bool) {
        self.cluster.deployments.remove(deployment.id.as_str());
        self.cluster.removed.remove(deployment.id.as_str());
        self.delete(keys::deployment(&deployment.id));
        self.events.push(Event::DeploymentFinished { deployment: Arc::clone(deployment), success });
        self.dirty_apps.extend(deployment.affected().cloned());
    }

    fn put_app(&mut self, app: App, uri: &str) {
        let record = self.cluster.apps.get(&app.id).cloned();
        let before = record.as_ref().map(|record| Arc::clone(&record.app));
        if let Some(before) = &before {
            service_ports::release(&mut self.cluster, &app.id, before);
            if before.version_info.last_config_change_at != app.version_info.last_config_change_at {
                self.cluster.delays.remove(&app.id);
            }
        }
        service_ports::hold(&mut self.cluster, &app);
        self.write(keys::app(&app.id), &app);
        self.write(keys::version(&app.id, app.version), &app);
        let app = Arc::new(app);
        let mut versions = record.map_or_else(Vector::new, |record| record.versions);
        versions.push_back(Arc::clone(&app));
        while versions.len() > VERSIONS_MAX {
            if let Some(oldest) = versions.pop_front().filter(|oldest| !self.is_version_running(oldest)) {
                self.delete(keys::version(&app.id, oldest.version));
            }
        }
        self.dirty_apps.insert(app.id.clone());
        self.events.push(Event::AppChanged { app: Arc::clone(&app), uri: uri.into() });
        self.cluster.apps.insert(app.id.clone(), AppRecord { app, versions });
    }

    /// Whether instances still run this version, so that its definition must be kept.
    pub(super) fn is_version_running(&self, app: &App) -> bool {
        self.cluster.instances_of(&app.id).any(|instance| instance.app.version == app.version)
    }

    fn remove_app(&mut self, id: &AppId) -> Option<RemovedApp> {
        let record = self.cluster.apps.remove(id)?;
        service_ports::release(&mut self.cluster, id, &record.app);
        self.delete(keys::app(id));
        for version in record.versions.iter().filter(|version| !self.is_version_running(version)).cloned().collect::<Vec<_>>() {
            self.delete(keys::version(id, version.version));
        }
        if self.cluster.failures.remove(id).is_some() {
            self.delete(keys::failure(id));
        }
        let package = self.cluster.packages.remove(id);
        if package.is_some() {
            self.delete(keys::package(id));
        }
        self.cluster.delays.remove(id);
        self.cluster.pending.remove(id);
        self.wipe_app(id);
        self.dirty_apps.insert(id.clone());
        Some(RemovedApp { app: record.app, package })
    }

    /// Stops tasks; they come back unless `scale` is asked for. Returns the deployment of a scale.
    ///
    /// # Errors
    /// [`EditError::NoTask`] when none of the tasks exists, [`EditError::Locked`].
    pub fn kill(&mut self, request: &KillRequest) -> Result<Option<Arc<Deployment>>, EditError> {
        let mut by_app: BTreeMap<AppId, BTreeSet<InstanceId>> = BTreeMap::new();
        for task in &request.tasks {
            let id = task.instance();
            if let Some(instance) = self.cluster.instances.get(id).filter(|instance| instance.incarnation == task.incarnation()) {
                by_app.entry(instance.app.id.clone()).or_default().insert(id.clone());
            }
        }
        if by_app.is_empty() {
            let names: Vec<String> = request.tasks.iter().map(TaskId::to_string).collect();
            return Err(EditError::NoTask(names.join(", ")));
        }
        let mut deployment = None;
        if request.scale {
            let edits = by_app
                .iter()
                .filter_map(|(id, killed)| {
                    let app = self.cluster.app(id)?;
                    // What is stopping for good has been scaled away before.
                    let is_counted = |id: &&InstanceId| {
                        self.cluster.instances.get(id).is_some_and(|instance| instance.goal != Goal::Decommissioned)
                    };
                    let fewer = killed.iter().filter(is_counted).count() as u32;
                    Some(AppEdit::Scale(id.clone(), app.instances.saturating_sub(fewer)))
                })
                .collect();
            deployment = self.edit(edits, request.force, "/v2/tasks/delete")?;
        }
        let goal = if request.scale || request.wipe { Goal::Decommissioned } else { Goal::Restarted };
        for id in by_app.values().flatten() {
            if request.wipe {
                self.wipe(id);
            } else if request.scale {
                self.spare_hold(id);
            }
            self.stop_instance(id, goal, "a user asked for it");
        }
        Ok(deployment)
    }

    /// Ends the pause of a failing app.
    ///
    /// # Errors
    /// [`EditError::NotQueued`].
    pub fn reset_delay(&mut self, id: &AppId) -> Result<(), EditError> {
        let is_paused = self.cluster.delays.get(id).is_some_and(|delay| delay.until > self.now);
        if !is_paused && !self.cluster.pending.contains_key(id) {
            return Err(EditError::NotQueued(id.clone()));
        }
        self.cluster.delays.remove(id);
        self.dirty_apps.insert(id.clone());
        Ok(())
    }

    /// Stops a deployment where it is.
    ///
    /// # Errors
    /// [`EditError::NoDeployment`].
    pub fn cancel(&mut self, id: &str) -> Result<(), EditError> {
        let deployment = self.cluster.deployments.get(id).cloned().ok_or_else(|| EditError::NoDeployment(id.into()))?;
        self.end_deployment(&deployment, false);
        Ok(())
    }

    /// Goes back to what was before a running deployment, as a new deployment.
    ///
    /// # Errors
    /// [`EditError::NoDeployment`], [`EditError::NoVersion`] when an earlier definition is not known
    /// any more.
    pub fn roll_back(&mut self, id: &str) -> Result<Option<Arc<Deployment>>, EditError> {
        let deployment = self.cluster.deployments.get(id).cloned().ok_or_else(|| EditError::NoDeployment(id.into()))?;
        let removed = self.cluster.removed.get(id).cloned().unwrap_or_default();
        let mut edits = Vec::new();
        for (app, version) in &deployment.previous {
            match version {
                None if self.cluster.apps.contains_key(app) => edits.push(AppEdit::Remove(app.clone())),
                None => {}
                Some(version) => {
                    let kept = self.cluster.apps.get(app).and_then(|record| record.version(*version));
                    let removed = || removed.iter().map(|removed| &removed.app).find(|removed| removed.id == *app);
                    let running = || self.cluster.instances_of(app).map(|instance| &instance.app);
                    let old = kept.or_else(removed).or_else(|| running().find(|running| running.version == *version));
                    let old = old.ok_or_else(|| EditError::NoVersion(app.clone(), *version))?;
                    edits.push(AppEdit::Restore((**old).clone()));
                }
            }
        }
        // The edit supersedes the deployment, if it changes anything.
        let result = self.edit(edits, true, &format!("/v2/deployments/{id}"))?;
        for package in removed.into_iter().filter_map(|removed| removed.package) {
            self.put_package((*package).clone());
        }
        if self.cluster.deployments.contains_key(id) {
            self.end_deployment(&deployment, false);
        }
        Ok(result)
    }
}
