//! What may be left out of a request, said in the way the server takes it: left out, not null.
//!
//! Why here: an optional value of Rust is documented as one that may be null. In a header or a query `null` is a text like
//! any other, and a body of `null` is refused, so a client that believed the document would be told off for it.

use utoipa::openapi::{
    Ref, RefOr, Required, Schema,
    path::{Operation, Parameter},
    request_body::RequestBody,
    schema::{SchemaType, Type},
};

/// What a header has to look like; what does not is refused whatever else the request says.
const HEADERS: [(&str, &str); 3] = [
    ("If-Match", r#"^(\*|(W/)?"[!#-~]*")$"#),
    ("Idempotency-Key", r"^[!#-\[\]-~]{16,255}$"),
    ("X-Cart-Token", "^cart_[0-9a-f]{64}$"),
];

/// Makes every optional parameter and body of `operation` one that may be left out, and says what headers look like.
pub(super) fn correct(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            correct_parameter(parameter);
        }
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        correct_body(body);
    }
}

fn correct_parameter(parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { return };
    if let SchemaType::Array(types) = &schema.schema_type
        && let [one] = types.iter().filter(|one| !matches!(one, Type::Null)).collect::<Vec<_>>()[..]
    {
        schema.schema_type = SchemaType::Type(one.clone());
    }
    if let Some((_, pattern)) = HEADERS.iter().find(|(name, _)| *name == parameter.name) {
        schema.pattern = Some((*pattern).to_owned());
    }
}

fn correct_body(body: &mut RequestBody) {
    let mut may_be_left_out = false;
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        let Some(RefOr::T(Schema::OneOf(choices))) = &content.schema else { continue };
        let named = choices.items.iter().find_map(|choice| match choice {
            RefOr::Ref(named) => Some(named.ref_location.clone()),
            RefOr::T(_) => None,
        });
        if let Some(named) = named {
            content.schema = Some(RefOr::Ref(Ref::new(named)));
            may_be_left_out = true;
        }
    }
    body.required = Some(if may_be_left_out { Required::False } else { Required::True });
}
