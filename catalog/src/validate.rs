//! Schema faults in the words and fields of the fge JSON Schema validator, which Cosmos used and
//! whose fields the old CLI reads (`unwanted`, `found`, `expected`, `missing`, `minimum`,
//! `instance.pointer`).

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value, json};

/// Most faults that one answer lists.
pub const SCHEMA_FAULTS_MAX: usize = 1000;

/// Every fault of `instance`, in the validator's order; empty when it is valid. `schema` is what
/// the validator was made from; it is only asked for when there is a fault.
pub(crate) fn errors(validator: &Validator, instance: &Value, schema: impl FnOnce() -> Value) -> Vec<Value> {
    let mut faults = validator.iter_errors(instance).take(SCHEMA_FAULTS_MAX).peekable();
    if faults.peek().is_none() {
        return Vec::new();
    }
    let schema = schema();
    let mut messages: Vec<Message> = Vec::new();
    for fault in faults {
        for message in Message::of(&fault, instance, &schema) {
            // One message names all missing properties of an object.
            let twin = messages.iter_mut().find(|earlier| {
                !message.missing.is_empty()
                    && earlier.keyword == message.keyword
                    && earlier.instance == message.instance
                    && earlier.schema == message.schema
                    && earlier.details == message.details
            });
            match twin {
                Some(twin) => {
                    for name in message.missing {
                        if !twin.missing.contains(&name) {
                            twin.missing.push(name);
                        }
                    }
                }
                None => messages.push(message),
            }
        }
    }
    messages.into_iter().map(Message::into_json).collect()
}

/// A message in one sentence, after the place it is about.
pub(crate) fn sentence(error: &Value) -> String {
    let pointer = error["instance"]["pointer"].as_str().unwrap_or_default();
    let message = error["message"].as_str().unwrap_or_default();
    let place = pointer.trim_start_matches('/').replace('/', ".");
    if place.is_empty() { message.to_owned() } else { format!("{place}: {message}") }
}

/// One message under construction.
struct Message {
    keyword: &'static str,
    /// Pointer to the schema that holds the keyword.
    schema: String,
    instance: String,
    text: String,
    details: Map<String, Value>,
    /// Names of properties that are missing, for `required` and `dependencies`.
    missing: Vec<String>,
}

impl Message {
    /// Usually one message; a broken dependency gives one for each property that asks for it.
    fn of(error: &ValidationError<'_>, root: &Value, schema: &Value) -> Vec<Self> {
        let instance = error.instance_path().as_str().to_owned();
        let value = root.pointer(&instance).unwrap_or(&Value::Null);
        let path = error.schema_path().as_str();
        let keyword_value = schema.pointer(path).unwrap_or(&Value::Null);
        let (holder, last) = path.rsplit_once('/').unwrap_or(("", path));
        let message = |keyword, text, details, missing| Self {
            keyword,
            schema: holder.to_owned(),
            instance: instance.clone(),
            text,
            details: match details {
                Value::Object(details) => details,
                _ => Map::new(),
            },
            missing,
        };
        match error.kind() {
            Kind::Required { property } if last == "dependencies" => {
                let asks = |(_, needed): &(&String, &Value)| needed.as_array().is_some_and(|needed| needed.contains(property));
                let present = |(name, _): &(&String, &Value)| value.get(name.as_str()).is_some();
                let dependencies = keyword_value.as_object().into_iter().flatten();
                dependencies
                    .filter(asks)
                    .filter(present)
                    .map(|(name, needed)| {
                        let details = json!({ "property": name, "required": needed });
                        message("dependencies", String::new(), details, name_of(property))
                    })
                    .collect()
            }
            Kind::Required { property } => {
                let details = json!({ "required": keyword_value });
                vec![message("required", String::new(), details, name_of(property))]
            }
            kind => {
                let (keyword, text, details) = describe(kind, value, error);
                vec![message(keyword, text, details, Vec::new())]
            }
        }
    }

    fn into_json(self) -> Value {
        let mut text = self.text;
        let mut details = self.details;
        if !self.missing.is_empty() {
            text = match details.get("property") {
                None => format!("object has missing required properties ({})", json!(self.missing)),
                Some(property) => format!(
                    "property {property} of object has missing property dependencies (schema \
                     requires {}; missing: {})",
                    details["required"],
                    json!(self.missing)
                ),
            };
            details.insert("missing".to_owned(), json!(self.missing));
        }
        let mut message = Map::new();
        message.insert("level".to_owned(), "error".into());
        message.insert("schema".to_owned(), json!({ "loadingURI": "#", "pointer": self.schema }));
        message.insert("instance".to_owned(), json!({ "pointer": self.instance }));
        message.insert("domain".to_owned(), "validation".into());
        message.insert("keyword".to_owned(), self.keyword.into());
        message.insert("message".to_owned(), text.into());
        message.extend(details);
        Value::Object(message)
    }
}

/// Keyword, message and further fields of one fault.
fn describe(kind: &Kind, value: &Value, error: &ValidationError<'_>) -> (&'static str, String, Value) {
    let size = || match value {
        Value::String(text) => text.chars().count(),
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    match kind {
        Kind::Type { kind } => {
            let expected = types(kind);
            let found = type_name(value);
            let text =
                format!("instance type ({found}) does not match any allowed primitive type (allowed: {})", json!(expected));
            ("type", text, json!({ "found": found, "expected": expected }))
        }
        Kind::AdditionalProperties { unexpected } => {
            let text = format!("object instance has properties which are not allowed by the schema: {}", json!(unexpected));
            ("additionalProperties", text, json!({ "unwanted": unexpected }))
        }
        Kind::Enum { options } => {
            let text = format!("instance value ({value}) not found in enum (possible values: {options})");
            ("enum", text, json!({ "value": value, "enum": **options }))
        }
        Kind::Minimum { limit } => {
            let text = format!("numeric instance is lower than the required minimum (minimum: {limit}, found: {value})");
            ("minimum", text, json!({ "minimum": limit, "found": value }))
        }
        Kind::Maximum { limit } => {
            let text = format!("numeric instance is greater than the required maximum (maximum: {limit}, found: {value})");
            ("maximum", text, json!({ "maximum": limit, "found": value }))
        }
        // In draft 4 these are flags beside minimum and maximum, which are the keywords.
        Kind::ExclusiveMinimum { limit } => {
            let text = format!("numeric instance is not strictly greater than the required minimum {limit}");
            let details = json!({ "minimum": limit, "found": value, "exclusiveMinimum": true });
            ("minimum", text, details)
        }
        Kind::ExclusiveMaximum { limit } => {
            let text = format!("numeric instance is not strictly lower than the required maximum {limit}");
            let details = json!({ "maximum": limit, "found": value, "exclusiveMaximum": true });
            ("maximum", text, details)
        }
        Kind::MinLength { limit } => {
            let found = size();
            let text = format!("string {value} is too short (length: {found}, required minimum: {limit})");
            ("minLength", text, json!({ "value": value, "found": found, "minLength": limit }))
        }
        Kind::MaxLength { limit } => {
            let found = size();
            let text = format!("string {value} is too long (length: {found}, maximum allowed: {limit})");
            ("maxLength", text, json!({ "value": value, "found": found, "maxLength": limit }))
        }
        Kind::Pattern { pattern } => {
            let text = format!("ECMA 262 regex {} does not match input string {value}", json!(pattern));
            ("pattern", text, json!({ "regex": pattern, "string": value }))
        }
        Kind::MinItems { limit } => {
            let found = size();
            let text = format!("array is too short: must have at least {limit} elements but instance has {found} elements");
            ("minItems", text, json!({ "minItems": limit, "found": found }))
        }
        Kind::MaxItems { limit } => {
            let found = size();
            let text = format!("array is too long: must have at most {limit} elements but instance has {found} elements");
            ("maxItems", text, json!({ "maxItems": limit, "found": found }))
        }
        Kind::MinProperties { limit } => {
            let found = size();
            let text = format!("object has too few properties: found {found} but schema requires at least {limit}");
            ("minProperties", text, json!({ "minProperties": limit, "found": found }))
        }
        Kind::MaxProperties { limit } => {
            let found = size();
            let text = format!("object has too many properties: found {found} but schema requires at most {limit}");
            ("maxProperties", text, json!({ "maxProperties": limit, "found": found }))
        }
        Kind::UniqueItems => ("uniqueItems", "array must not contain duplicate elements".to_owned(), json!({})),
        Kind::AdditionalItems { limit } => {
            let text = format!("array must not have more than {limit} elements");
            ("additionalItems", text, json!({ "allowed": limit, "found": size() }))
        }
        Kind::MultipleOf { multiple_of } => {
            let text = format!("remainder of division is not zero ({value} / {multiple_of})");
            ("multipleOf", text, json!({ "value": value, "divisor": multiple_of }))
        }
        Kind::AnyOf { context } => {
            let text = format!("instance failed to match at least one required schema among {}", context.len());
            ("anyOf", text, json!({ "nrSchemas": context.len() }))
        }
        Kind::OneOfNotValid { context } => one_of(0, context.len()),
        Kind::OneOfMultipleValid { context } => one_of(context.iter().filter(|faults| faults.is_empty()).count(), context.len()),
        Kind::Not { .. } => ("not", "instance matched a schema which it should not have".to_owned(), json!({})),
        Kind::Format { format } => {
            let text = format!("string {value} is invalid against requested format {format}");
            ("format", text, json!({ "value": value, "attribute": format }))
        }
        other => (keyword_of(other), error.to_string(), json!({})),
    }
}

fn name_of(property: &Value) -> Vec<String> {
    property.as_str().map(str::to_owned).into_iter().collect()
}

fn one_of(matched: usize, schemas: usize) -> (&'static str, String, Value) {
    let text = format!("instance failed to match exactly one schema (matched {matched} out of {schemas})");
    ("oneOf", text, json!({ "matched": matched, "nrSchemas": schemas }))
}

/// Kinds that draft 4 cannot produce, or only when a limit of the matcher is reached.
fn keyword_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => "pattern",
        Kind::Referencing(_) => "$ref",
        _ => "schema",
    }
}

fn types(kind: &TypeKind) -> Vec<String> {
    match kind {
        TypeKind::Single(kind) => vec![kind.to_string()],
        TypeKind::Multiple(set) => set.iter().map(|kind| kind.to_string()).collect(),
    }
}

/// The draft-04 type: a number written with a point or an exponent is no integer.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_str().contains(['.', 'e', 'E']) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
