//! Defaults that depend on other fields.

use super::container::default_residency;
use super::fields::Given;
use super::network::{default_port_definitions, default_port_mappings};
use orrery_core::app::{Container, HealthProtocol, NetworkMode, UnreachableStrategy, UpgradeStrategy};
use orrery_core::{App, Scalar};

/// Fills the defaults that depend on other fields (`AppNormalization` of Marathon). `previous` is
/// the app that was patched.
pub(super) fn complete(app: &mut App, given: &Given, previous: Option<&App>) {
    complete_ports(app, given, previous);
    let resident = app.is_resident();
    let became_resident = resident && previous.is_none_or(|previous| !previous.is_resident());
    if !given.upgrade_strategy && previous.is_none() {
        app.upgrade_strategy = default_upgrade_strategy(app);
    }
    if became_resident {
        if !given.unreachable_strategy {
            app.unreachable_strategy = UnreachableStrategy::Disabled;
        }
        if previous.is_some() && !given.upgrade_strategy {
            app.upgrade_strategy = default_upgrade_strategy(app);
        }
        app.residency.get_or_insert_with(default_residency);
    }
    let port_count = app.ports().len();
    for check in &mut app.health_checks {
        let unaddressed = check.port.is_none() && check.port_index.is_none();
        if check.protocol != HealthProtocol::Command && unaddressed && port_count > 0 {
            check.port_index = Some(0);
        }
    }
}

fn complete_ports(app: &mut App, given: &Given, previous: Option<&App>) {
    let same_mode = previous.is_some_and(|previous| {
        let modes = |app: &App| app.networks.iter().map(|network| network.mode).collect::<Vec<_>>();
        modes(previous) == modes(app)
    });
    if app.is_host_networked() {
        if !given.port_definitions && !same_mode {
            app.port_definitions = default_port_definitions();
        }
        if let Some(container) = &mut app.container {
            container.port_mappings = Vec::new();
        }
        return;
    }
    if !given.port_definitions {
        app.port_definitions = Vec::new();
    }
    app.require_ports = false;
    let bridged = app.networks.iter().any(|network| network.mode == NetworkMode::Bridge);
    let container = app.container.get_or_insert_with(Container::default);
    if let Some(mappings) = &given.port_mappings {
        container.port_mappings.clone_from(mappings);
    } else if !same_mode || given.container {
        container.port_mappings = default_port_mappings();
    }
    if bridged {
        for mapping in &mut container.port_mappings {
            mapping.host_port.get_or_insert(0);
        }
    }
}

fn default_upgrade_strategy(app: &App) -> UpgradeStrategy {
    let external =
        app.container.as_ref().is_some_and(|container| container.volumes.iter().any(|volume| volume.external.is_some()));
    if app.is_single_instance() {
        UpgradeStrategy { minimum_health_capacity: Scalar::ZERO, maximum_over_capacity: Scalar::ZERO }
    } else if app.is_resident() || external {
        UpgradeStrategy { minimum_health_capacity: Scalar::from_thousandths(500), maximum_over_capacity: Scalar::ZERO }
    } else {
        UpgradeStrategy::default()
    }
}
