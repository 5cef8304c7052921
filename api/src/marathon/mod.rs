//! The app interface of Marathon 1.11 (`/v2/…`).

pub mod app;
mod app_info;
mod deployment;
mod embed;
pub mod error;
mod event;
mod group;
mod group_update;
mod info;
mod offer;
mod path;
mod queue;
mod selector;
mod task;

pub use app_info::{app_info, app_list, find_apps, name_absent_fields};
pub use deployment::{deployment_json, deployment_result, deployments_json, dry_run_json};
pub use embed::Embed;
pub use event::{WireEvent, api_post_event, attached_event, detached_event, event_frame, wire_events};
pub use group::{GroupEmbed, enforcing_groups, group_exists, group_info};
pub use group_update::{GroupEdit, read_group};
pub use info::{InfoView, MARATHON_VERSION, info_json};
pub use offer::{OFFERED_APPS_MAX, OFFERS_MAX, Offers};
pub use path::{AppPath, GroupPath, parse_app_path, parse_boolean, parse_group_id, parse_group_path};
pub use queue::queue_json;
pub use selector::{Selector, SelectorError};
pub use task::{TaskCounts, TaskState, count_tasks, task_json, tasks_json};

#[cfg(test)]
mod view_test;
