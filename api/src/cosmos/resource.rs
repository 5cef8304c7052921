//! Addresses inside package resources, and their detour through `/package/resource`.

use serde_json::Value;

/// Scheme of files that ship inside the program, such as the commands of our own packages.
pub const ASSET_SCHEME: &str = "builtin:";

/// How clients reach this server.
#[derive(Debug, Clone, Copy)]
pub struct ResourceProxy<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// `Host` of the request.
    pub host: &'a str,
}

impl ResourceProxy<'_> {
    /// The address under which `url` is fetched through this server. Not percent-encoded: old
    /// clients compare.
    pub fn url(&self, url: &str) -> String {
        format!("{}://{}/package/resource?url={url}", self.scheme, self.host)
    }
}

/// Sends every address in a `resource` object (assets, images, CLI binaries) through the proxy.
/// Docker image names are no addresses and stay.
pub fn rewrite_resources(resource: &mut Value, proxy: ResourceProxy<'_>) {
    visit(resource, &mut |url| {
        if ["http://", "https://", ASSET_SCHEME].iter().any(|scheme| url.starts_with(scheme)) {
            *url = proxy.url(url);
        }
    });
}

/// All addresses in a `resource` object: only these may be fetched through the proxy.
pub fn resource_urls(resource: &Value) -> Vec<String> {
    let mut urls = Vec::new();
    let mut copy = resource.clone();
    visit(&mut copy, &mut |url| urls.push(url.clone()));
    urls
}

fn visit(resource: &mut Value, change: &mut impl FnMut(&mut String)) {
    if let Some(uris) = resource.pointer_mut("/assets/uris") {
        texts(uris, change);
    }
    if let Some(images) = resource.get_mut("images") {
        texts(images, change);
    }
    if let Some(Value::Object(systems)) = resource.pointer_mut("/cli/binaries") {
        for binary in systems.values_mut().filter_map(Value::as_object_mut).flat_map(|system| system.values_mut()) {
            if let Some(Value::String(url)) = binary.get_mut("url") {
                change(url);
            }
        }
    }
}

/// Texts of an object or list, and of lists one level below.
fn texts(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    let children: Vec<&mut Value> = match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(entries) => entries.iter_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        match child {
            Value::String(url) => change(url),
            Value::Array(entries) => entries.iter_mut().for_each(|entry| {
                if let Value::String(url) = entry {
                    change(url);
                }
            }),
            _ => {}
        }
    }
}
