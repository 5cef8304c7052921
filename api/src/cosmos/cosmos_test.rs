use super::*;
use serde_json::{Value, json};

#[test]
fn negotiation() {
    let v3 = "application/vnd.dcos.package.describe-response+json;charset=utf-8;version=v3";
    assert_eq!(Endpoint::Describe.response_type(3), v3);
    assert_eq!(
        Endpoint::RepositoryAdd.request_type(),
        "application/vnd.dcos.package.repository.add-request+json;charset=utf-8;version=v1"
    );
    assert_eq!(Endpoint::Capabilities.response_type(1), "application/vnd.dcos.capabilities+json;charset=utf-8;version=v1");
    assert_eq!(
        Endpoint::ServiceUpdate.response_type(1),
        "application/vnd.dcos.service.update-response+json;charset=utf-8;version=v1"
    );
    let v2 = "application/vnd.dcos.package.describe-response+json;charset=utf-8;version=v2";
    let go = "application/vnd.dcos.package.install-response+json;charset=utf-8;version=v1,application/vnd.dcos.package.error+json;charset=utf-8;version=v1";
    let table = [
        (Endpoint::Describe, Some(v3.to_owned()), Some(3)),
        (Endpoint::Describe, Some(v2.to_owned()), Some(2)),
        (Endpoint::Describe, None, Some(3)),
        (Endpoint::Describe, Some("*/*".to_owned()), Some(3)),
        (Endpoint::Describe, Some("application/json".to_owned()), Some(3)),
        (Endpoint::Describe, Some("application/vnd.dcos.package.describe-response+json".to_owned()), Some(3)),
        (Endpoint::Describe, Some(format!("{v3};q=0.1, {v2};q=0.9")), Some(2)),
        (Endpoint::Describe, Some(format!("{v3};q=0, {v2}")), Some(2)),
        (Endpoint::Describe, Some("application/vnd.dcos.package.describe-response+json;version=v9".to_owned()), None),
        (Endpoint::Describe, Some("text/html".to_owned()), None),
        (Endpoint::Install, Some(go.to_owned()), Some(1)),
        (Endpoint::Install, Some("*/*".to_owned()), Some(2)),
        (Endpoint::Search, Some(String::new()), Some(1)),
    ];
    for (endpoint, accept, version) in table {
        assert_eq!(negotiate(endpoint, None, accept.as_deref()).ok(), version, "{accept:?}");
    }
    for content in [Endpoint::Search.request_type().as_str(), "application/json", "application/json; charset=UTF-8", ""] {
        assert!(negotiate(Endpoint::Search, Some(content), None).is_ok(), "{content}");
    }
    let error = negotiate(Endpoint::Search, Some("application/x-www-form-urlencoded"), Some("text/html")).unwrap_err();
    assert_eq!((error.kind, error.status), ("multiple_errors", 400));
    assert_eq!(error.body()["data"]["errors"].as_array().unwrap().len(), 2);
    assert!(negotiate(Endpoint::Search, Some(&Endpoint::List.request_type()), None).is_err());
}

#[test]
fn requests() {
    for body in [&b""[..], b" \n", b"null", b"{}"] {
        let body = parse_body(body).unwrap();
        assert_eq!(SearchRequest::read(&body).unwrap().query, None);
    }
    for body in [&b"[]"[..], b"3", b"{", b"\"x\""] {
        assert_eq!(parse_body(body).unwrap_err().kind, "not_parsed");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(parse_body(format!("{{\"options\":{deep}").as_bytes()).unwrap_err().kind, "not_parsed");
    let install =
        InstallRequest::read(&json!({"packageName": "a", "packageVersion": null, "options": {"x": 1}, "extra": 1})).unwrap();
    assert_eq!((install.package_name.as_str(), install.package_version), ("a", None));
    assert_eq!(install.options.unwrap()["x"], 1);
    let error = InstallRequest::read(&json!({"options": [], "appId": 3})).unwrap_err();
    assert_eq!(error.body()["data"]["errors"].as_array().unwrap().len(), 3, "{error:?}");
    assert_eq!(RepositoryAddRequest::read(&json!({"name": "n", "uri": "u", "index": -1})).unwrap().index, Some(-1));
    assert!(RepositoryAddRequest::read(&json!({"name": "n", "uri": "u", "index": "one"})).is_err());
    assert!(ServiceUpdateRequest::read(&json!({"appId": "a"})).is_err());
    assert!(UninstallRequest::read(&json!({"packageName": "a", "all": "yes"})).is_err());
    assert!(ListVersionsRequest::read(&json!({"packageName": "a"})).is_ok());
}

fn definition() -> Value {
    json!({
        "packagingVersion": "4.0", "name": "redis", "version": "1", "releaseVersion": 7, "maintainer": "m", "description": "d",
        "website": null, "upgradesFrom": [], "postInstallNotes": "hi",
        "config": {"properties": {"a": {"default": null, "type": "string"}}},
        "resource": {
            "assets": {"uris": {"x": "http://h/x"}, "container": {"docker": {"r": "redis:1"}}},
            "images": {"icon-small": "https://h/i.png", "screenshots": ["http://h/s.png"]},
            "cli": {"binaries": {"linux": {"x86-64": {"url": "http://h/b", "kind": "zip", "contentHash": []}}}},
        },
    })
}

#[test]
fn describes() {
    let proxy = Some(ResourceProxy { scheme: "http", host: "c:80" });
    let v3 = describe_v3(&definition(), proxy);
    let package = &v3["package"];
    assert_eq!(package["releaseVersion"], 7);
    assert!(package.get("website").is_none() && package["config"]["properties"]["a"].get("default").is_none());
    assert_eq!(package["resource"]["assets"]["uris"]["x"], "http://c:80/package/resource?url=http://h/x");
    assert_eq!(package["resource"]["assets"]["container"]["docker"]["r"], "redis:1");
    assert_eq!(package["resource"]["images"]["screenshots"][0], "http://c:80/package/resource?url=http://h/s.png");
    let binary = &package["resource"]["cli"]["binaries"]["linux"]["x86-64"];
    assert_eq!(binary["url"], "http://c:80/package/resource?url=http://h/b");
    let v2 = describe_v2(&definition(), None).unwrap();
    assert_eq!((&v2["packagingVersion"], &v2["selected"], v2.get("releaseVersion")), (&json!("3.0"), &json!(false), None));
    let mut upgradable = definition();
    upgradable["upgradesFrom"] = json!(["*"]);
    assert_eq!(describe_v2(&upgradable, None).unwrap(), v2);
    upgradable["packagingVersion"] = json!("5.0");
    assert_eq!(describe_v2(&upgradable, None).unwrap_err().kind, "ConversionFromPackageToV2DescribeResponse");
    assert_eq!(resource_urls(&definition()["resource"]).len(), 4);
}

#[test]
fn answers() {
    let definition = definition();
    let installed = install_v2(&definition, Some("/redis"), None);
    assert_eq!(
        (installed["packageName"].as_str(), installed["appId"].as_str(), installed["postInstallNotes"].as_str()),
        (Some("redis"), Some("/redis"), Some("hi"))
    );
    assert!(install_v2(&json!({"name": "a", "version": "1"}), None, None).get("cli").is_none());
    let list = list_json(
        [Installed { app_id: "/z", definition: &definition }, Installed { app_id: "/a", definition: &definition }],
        None,
    );
    assert_eq!(list["packages"][0]["appId"], "/a");
    let information = &list["packages"][0]["packageInformation"];
    assert_eq!(information["packageDefinition"]["framework"], false);
    assert!(information["resourceDefinition"].get("cli").is_none());
    let versions = [("1".to_owned(), 7), ("2".to_owned(), 8)];
    assert_eq!(list_versions_json(&versions), json!({"results": {"1": "7", "2": "8"}}));
    let entry = SearchEntry {
        name: "redis",
        current_version: "2",
        versions: &versions,
        description: "d",
        framework: false,
        tags: &[],
        selected: None,
        images: None,
    };
    assert_eq!(
        search_json([entry], None),
        json!({"packages": [{"name": "redis", "currentVersion": "2", "versions": {"1": 7, "2": 8}, "description": "d",
                             "framework": false, "tags": []}]})
    );
    let gone = Uninstalled { package_name: "a", app_id: "/a", package_version: Some("1"), post_uninstall_notes: None };
    assert_eq!(uninstall_json([gone]), json!({"results": [{"packageName": "a", "appId": "/a", "packageVersion": "1"}]}));
    let error = CosmosError::package_not_found("x");
    assert_eq!(
        error.body(),
        json!({"type": "PackageNotFound", "message": "Package [x] not found", "data": {"packageName": "x"}})
    );
    assert_eq!((CosmosError::already_installed().status, CosmosError::already_installed().body().get("data")), (409, None));
    assert_eq!(CosmosError::repository_present(Some("n"), None).body()["data"], json!({"name": "n"}));
}
