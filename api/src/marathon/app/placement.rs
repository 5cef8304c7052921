//! Orrery's own field `placement`: reading it, and its rules (docs/scheduling.md).

use super::validate::check_operand;
use crate::json::{Cursor, Object, Reader};
use orrery_core::app::{
    Affinity, Operator, PLACEMENT_RULES_MAX, Packing, Placement, Preference, Selector, SpreadRule, WEIGHT_MAX,
};
use orrery_core::{App, AppId, Fault};
use std::collections::BTreeSet;

pub(super) fn read_placement_rules(reader: &mut Reader, at: &Cursor<'_>, group: &str) -> Option<Placement> {
    let object = reader.object(at)?;
    let known = ["strategy", "onePerNode", "spread", "prefer", "affinity", "antiAffinity", "priority"];
    only(reader, &object, &known);
    let mut placement = Placement::default();
    if let Some(cursor) = object.get("strategy") {
        placement.strategy = reader.word(&cursor, &[("spread", Packing::Spread), ("binpack", Packing::Binpack)]);
    }
    if let Some(cursor) = object.get("onePerNode") {
        placement.one_per_node = reader.boolean(&cursor).unwrap_or_default();
    }
    if let Some(cursor) = object.get("spread") {
        placement.spread = reader.list(&cursor, read_spread).unwrap_or_default();
    }
    if let Some(cursor) = object.get("prefer") {
        placement.prefer = reader.list(&cursor, read_preference).unwrap_or_default();
    }
    if let Some(cursor) = object.get("affinity") {
        placement.affinity = reader.list(&cursor, |reader, at| read_affinity(reader, at, group)).unwrap_or_default();
    }
    if let Some(cursor) = object.get("antiAffinity") {
        placement.anti_affinity = reader.list(&cursor, |reader, at| read_affinity(reader, at, group)).unwrap_or_default();
    }
    if let Some(cursor) = object.get("priority") {
        placement.priority = read_priority(reader, &cursor).unwrap_or_default();
    }
    Some(placement)
}

/// Fields that no rule has are slips of the pen: nobody but us reads this object.
fn only(reader: &mut Reader, object: &Object<'_>, known: &[&str]) {
    for (name, cursor) in object.fields().filter(|(name, _)| !known.contains(name)) {
        reader.fault(cursor.path, format!("{name} is no field here; use {}", known.join(", ")));
    }
}

fn read_priority(reader: &mut Reader, at: &Cursor<'_>) -> Option<i32> {
    let most = i64::from(WEIGHT_MAX);
    let number = at.value.as_i64().filter(|number| (-most..=most).contains(number));
    if number.is_none() {
        reader.wrong(at, format!("must be a whole number from -{most} to {most}"));
    }
    number.and_then(|number| i32::try_from(number).ok())
}

fn read_field(reader: &mut Reader, object: &Object<'_>, default: Option<&str>) -> Option<String> {
    match (object.get("field"), default) {
        (Some(cursor), _) => reader.text(&cursor),
        (None, Some(default)) => Some(default.to_owned()),
        (None, None) => {
            reader.fault(format!("{}/field", object.path), "is missing; name hostname, @zone, @region or an attribute of nodes");
            None
        }
    }
}

/// The weight, `None` for a demand. The outer `None` is a fault.
#[expect(clippy::option_option, reason = "the inner one is a value of the rule, the outer one a fault")]
fn read_weight(reader: &mut Reader, object: &Object<'_>) -> Option<Option<u32>> {
    // What does not matter is left out.
    let weight = object.get("weight").map(|cursor| (reader.whole_from(&cursor, 1, u64::from(WEIGHT_MAX)), cursor));
    let required = object.get("required").map(|cursor| reader.boolean(&cursor));
    match (weight, required) {
        (Some((Some(_), cursor)), Some(Some(true))) => {
            reader.wrong(&cursor, "and required exclude each other: a rule with a weight is a wish");
            None
        }
        (Some((weight, _)), _) => weight.and_then(|weight| u32::try_from(weight).ok()).map(Some),
        (None, Some(Some(false))) => {
            reader.fault(format!("{}/weight", object.path), "is missing; a rule that is not required needs one");
            None
        }
        (None, Some(None)) => None,
        (None, _) => Some(None),
    }
}

fn read_spread(reader: &mut Reader, at: &Cursor<'_>) -> Option<SpreadRule> {
    let object = reader.object(at)?;
    only(reader, &object, &["field", "maximumSkew", "weight", "required"]);
    let field = read_field(reader, &object, None);
    // Instances cannot always be divided evenly.
    let skew = object.get("maximumSkew").map_or(Some(1), |cursor| reader.whole_from(&cursor, 1, u64::from(u32::MAX)));
    let weight = read_weight(reader, &object);
    Some(SpreadRule { field: field?, maximum_skew: u32::try_from(skew?).ok()?, weight: weight? })
}

fn read_preference(reader: &mut Reader, at: &Cursor<'_>) -> Option<Preference> {
    let object = reader.object(at)?;
    only(reader, &object, &["field", "operator", "value", "weight"]);
    let field = read_field(reader, &object, None);
    let words = [("LIKE", Operator::Like), ("UNLIKE", Operator::Unlike), ("IS", Operator::Is)];
    let operator = if let Some(cursor) = object.get("operator") {
        reader.word(&cursor, &words)
    } else {
        reader.fault(format!("{}/operator", object.path), "is missing; use LIKE, UNLIKE or IS");
        None
    };
    let value = if let Some(cursor) = object.get("value") {
        reader.plain_text(&cursor)
    } else {
        reader.fault(format!("{}/value", object.path), "is missing");
        None
    };
    let weight = match object.get("weight") {
        Some(_) => read_weight(reader, &object),
        None => Some(Some(1)),
    };
    Some(Preference { field: field?, operator: operator?, value: value?, weight: weight?.unwrap_or(1) })
}

fn read_affinity(reader: &mut Reader, at: &Cursor<'_>, group: &str) -> Option<Affinity> {
    let object = reader.object(at)?;
    only(reader, &object, &["app", "label", "field", "weight", "required"]);
    let field = read_field(reader, &object, Some("hostname"));
    let weight = read_weight(reader, &object);
    let selector = match (object.get("app"), object.get("label")) {
        (Some(cursor), None) => reader.text(&cursor).and_then(|text| match AppId::parse_in(group, &text) {
            Ok(id) => Some(Selector::App(id)),
            Err(error) => {
                reader.wrong(&cursor, error.to_string());
                None
            }
        }),
        (None, Some(cursor)) => reader.text(&cursor).and_then(|text| {
            let valid = text.split_once('=').is_some_and(|(key, _)| !key.is_empty());
            if !valid {
                reader.wrong(&cursor, "must be KEY=VALUE");
            }
            valid.then_some(Selector::Label(text))
        }),
        _ => {
            reader.fault(object.path.clone(), "must name either an app or a label KEY=VALUE");
            None
        }
    };
    Some(Affinity { selector: selector?, field: field?, weight: weight? })
}

/// Faults of the rules of an app, and of its resources with names of their own.
pub(super) fn check_placement(app: &App, faults: &mut Vec<Fault>) {
    let rules = &app.placement;
    let lengths = [
        ("spread", rules.spread.len()),
        ("prefer", rules.prefer.len()),
        ("affinity", rules.affinity.len()),
        ("antiAffinity", rules.anti_affinity.len()),
    ];
    for (name, length) in lengths {
        if length > PLACEMENT_RULES_MAX {
            let message = format!("has {length} rules, the most is {PLACEMENT_RULES_MAX}");
            faults.push(Fault::new(format!("/placement/{name}"), message));
        }
    }
    // What is beyond the limit is one fault; looking at it as well would be for nothing, and costly.
    let spread = &rules.spread[..rules.spread.len().min(PLACEMENT_RULES_MAX)];
    let prefer = &rules.prefer[..rules.prefer.len().min(PLACEMENT_RULES_MAX)];
    let affinity = &rules.affinity[..rules.affinity.len().min(PLACEMENT_RULES_MAX)];
    let anti_affinity = &rules.anti_affinity[..rules.anti_affinity.len().min(PLACEMENT_RULES_MAX)];
    let fields = spread.iter().enumerate().map(|(at, rule)| ("spread", at, &rule.field));
    let fields = fields.chain(prefer.iter().enumerate().map(|(at, rule)| ("prefer", at, &rule.field)));
    let fields = fields.chain(affinity.iter().enumerate().map(|(at, rule)| ("affinity", at, &rule.field)));
    let fields = fields.chain(anti_affinity.iter().enumerate().map(|(at, rule)| ("antiAffinity", at, &rule.field)));
    for (list, index, field) in fields {
        if field.is_empty() || field.chars().any(char::is_control) {
            faults.push(Fault::new(format!("/placement/{list}({index})/field"), "must name a field such as hostname"));
        }
    }
    for (index, rule) in prefer.iter().enumerate() {
        if let Some(message) = check_operand(rule.operator, &rule.value) {
            faults.push(Fault::new(format!("/placement/prefer({index})/value"), message).with_value(&rule.value));
        }
    }
    let mut fields = BTreeSet::new();
    for (index, rule) in spread.iter().enumerate() {
        if !fields.insert((&rule.field, rule.weight.is_some())) {
            let message = format!("{} is spread over twice; keep one of the rules", rule.field);
            faults.push(Fault::new(format!("/placement/spread({index})"), message));
        }
    }
    for (index, rule) in affinity.iter().enumerate() {
        let opposite = anti_affinity.iter().position(|other| {
            other.selector == rule.selector && other.field == rule.field && other.weight.is_none() && rule.weight.is_none()
        });
        if let Some(other) = opposite {
            let message = format!("contradicts /placement/antiAffinity({other}): no node can be near and away");
            faults.push(Fault::new(format!("/placement/affinity({index})"), message));
        }
    }
    for (name, amount) in &app.resources {
        let path = format!("/resources/{name}");
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
            faults.push(Fault::new("/resources", "has a name that is empty or holds other than letters, digits, _ . -"));
        } else if ["cpus", "mem", "disk", "gpus", "ports"].contains(&name.as_str()) {
            faults.push(Fault::new(path, format!("has a field of its own; write it as {name} beside resources")));
        } else if !amount.is_positive() {
            faults.push(Fault::new(path, "must be above 0").with_value(amount));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ReadContext, read_app, write_app};
    use orrery_core::app::PLACEMENT_RULES_MAX;
    use serde_json::{Value, json};

    fn read(placement: &Value) -> Result<Value, Vec<(String, String)>> {
        let spec = json!({"id": "/shop/web", "cmd": "x", "placement": placement});
        match read_app(&spec, ReadContext::default()) {
            Ok(app) => Ok(write_app(&app)["placement"].clone()),
            Err(faults) => Err(faults.into_iter().map(|fault| (fault.path, fault.message)).collect()),
        }
    }

    #[test]
    fn limits_of_numbers_are_told_as_they_are() {
        for (rule, path, message) in [
            (json!({"field": "rack", "weight": 1001}), "/placement/spread(0)/weight", "must be a whole number from 1 to 1000"),
            (json!({"field": "rack", "weight": 0}), "/placement/spread(0)/weight", "must be a whole number from 1 to 1000"),
            (
                json!({"field": "rack", "maximumSkew": 0}),
                "/placement/spread(0)/maximumSkew",
                "must be a whole number from 1 to 4294967295",
            ),
        ] {
            let faults = read(&json!({"spread": [rule]})).unwrap_err();
            assert_eq!(faults, [(path.to_owned(), message.to_owned())]);
        }
    }

    #[test]
    fn rules_come_back_as_they_were_given() {
        let given = json!({
            "strategy": "BINPACK",
            "onePerNode": true,
            "spread": [{"field": "@zone", "maximumSkew": 2}, {"field": "rack", "weight": 5}],
            "prefer": [{"field": "disk", "operator": "like", "value": "ssd|nvme", "weight": 10}],
            "affinity": [{"app": "cache", "required": true}],
            "antiAffinity": [{"label": "tier=db", "field": "rack", "weight": 3}],
            "priority": -5,
        });
        let written = json!({
            "strategy": "binpack",
            "onePerNode": true,
            "spread": [{"field": "@zone", "maximumSkew": 2}, {"field": "rack", "maximumSkew": 1, "weight": 5}],
            "prefer": [{"field": "disk", "operator": "LIKE", "value": "ssd|nvme", "weight": 10}],
            "affinity": [{"app": "/shop/cache", "field": "hostname"}],
            "antiAffinity": [{"label": "tier=db", "field": "rack", "weight": 3}],
            "priority": -5,
        });
        assert_eq!(read(&given), Ok(written.clone()));
        assert_eq!(read(&written), Ok(written));
    }

    #[test]
    fn rules_beyond_the_limit_are_one_fault_and_not_looked_at() {
        for (list, rule) in [
            ("prefer", json!({"field": "disk", "operator": "LIKE", "value": "("})),
            ("spread", json!({"field": ""})),
            ("affinity", json!({"app": "/b", "field": ""})),
            ("antiAffinity", json!({"app": "/b", "field": ""})),
        ] {
            let faults = read(&json!({list: vec![rule; 8_000]})).unwrap_err();
            let limit: Vec<_> = faults.iter().filter(|(path, _)| *path == format!("/placement/{list}")).collect();
            assert!(matches!(limit[..], [(_, message)] if message.contains("has 8000 rules, the most is 16")), "{faults:?}");
            assert!(faults.len() <= 1 + 2 * PLACEMENT_RULES_MAX, "{list}: {}", faults.len());
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = read(&json!({
            "strategie": "spread",
            "spread": [{"maximumSkew": 0}, {"field": "a"}, {"field": "a"}],
            "prefer": [{"field": "disk", "operator": "UNIQUE", "value": "x"}, {"field": "d", "operator": "LIKE", "value": "("}],
            "affinity": [{"app": "/a", "label": "b=c"}, {"app": "/b"}, {"label": "x"}],
            "antiAffinity": [{"app": "/b"}, {"app": "/c", "weight": 0}, {"app": "/c", "weight": 1, "required": true}],
            "priority": 1.5,
        }));
        let paths: Vec<String> = faults.unwrap_err().into_iter().map(|(path, _)| path).collect();
        for path in [
            "/placement/strategie",
            "/placement/spread(0)/field",
            "/placement/spread(0)/maximumSkew",
            "/placement/prefer(0)/operator",
            "/placement/affinity(0)",
            "/placement/affinity(2)/label",
            "/placement/antiAffinity(1)/weight",
            "/placement/antiAffinity(2)/weight",
            "/placement/priority",
        ] {
            assert!(paths.iter().any(|have| have == path), "{path} is not in {paths:?}");
        }
        let faults = read(&json!({
            "spread": [{"field": "a"}, {"field": "a"}],
            "prefer": [{"field": "d", "operator": "LIKE", "value": "("}],
            "affinity": [{"app": "/b"}],
            "antiAffinity": [{"app": "/b"}],
        }));
        let paths: Vec<String> = faults.unwrap_err().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["/placement/prefer(0)/value", "/placement/spread(1)", "/placement/affinity(0)"]);
    }
}
