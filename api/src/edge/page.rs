//! The pages for people: the API's operations and the problems it answers with. Rendered here from the same document
//! that programs read: no script, no font and no style sheet comes from anywhere else.

use std::{fmt::Write as _, sync::OnceLock};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::Value;

use super::{
    openapi,
    problem::{Kind, Problem},
    query::PathPart,
    reply::Answer,
    routes::document,
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}\
code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f2;border-radius:4px;padding:.1em .3em}\
pre{padding:.8em;overflow:auto}h1{margin-bottom:.2em}h2{margin-top:2.2em;border-bottom:1px solid #ddd}\
details{border:1px solid #ddd;border-radius:6px;margin:.6em 0;padding:.5em .8em}summary{cursor:pointer}\
.m{display:inline-block;min-width:4.5em;font-weight:700}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;padding:.3em .8em .3em 0;border-bottom:1px solid #eee}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#e8e8e6}code,pre{background:#262624}\
details,h2,td,th{border-color:#3a3a38}a{color:#8ab4f8}}";

/// Built once: it takes megabytes to build, and anyone may ask for it.
static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
static DOCS: OnceLock<Bytes> = OnceLock::new();

/// The `OpenAPI` document.
pub(super) async fn openapi_json() -> Answer {
    let text = once(&DOCUMENT, openapi::to_json)?;
    Ok(answer("application/json", text))
}

/// The API, operation by operation.
pub(super) async fn docs() -> Answer {
    Ok(page(once(&DOCS, docs_page)?))
}

/// What was built before, or is built now.
fn once(place: &OnceLock<Bytes>, build: fn() -> Result<String, serde_json::Error>) -> Result<Bytes, Problem> {
    if let Some(built) = place.get() {
        return Ok(built.clone());
    }
    let text = build().map_err(|error| fault(&error))?;
    Ok(place.get_or_init(|| Bytes::from(text)).clone())
}

fn docs_page() -> Result<String, serde_json::Error> {
    let document = serde_json::to_value(document())?;
    let mut html = format!(
        "<h1>Holdfast API</h1><p>{}</p><p>The same for programs: <a href=\"{path}\"><code>{path}</code></a>. What can go \
         wrong: <a href=\"/problems\">problems</a>.</p>",
        escaped(text_of(&document["info"]["description"])),
        path = openapi::PATH
    );
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = text_of(&tag["name"]);
        put(&mut html, format_args!("<h2>{name}</h2><p>{}</p>", marked(text_of(&tag["description"]))));
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation["tags"][0] == *name {
                    write_operation(&mut html, method, path, operation);
                }
            }
        }
    }
    html.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        put(&mut html, format_args!("<details id=\"{name}\"><summary><code>{name}</code></summary>"));
        html.push_str(&schema_table(schema));
        html.push_str("</details>");
    }
    Ok(html_page("Holdfast API", &html))
}

/// Every kind of problem.
pub(super) async fn problems() -> Answer {
    let mut html = String::from("<h1>Problems</h1><table><tr><th>Status<th>Type<th>Title");
    for kind in Kind::ALL {
        let (status, slug, title) = (kind.status().as_u16(), kind.slug(), escaped(kind.title()));
        put(
            &mut html,
            format_args!("<tr><td>{status}<td><a href=\"/problems/{slug}\"><code>{slug}</code></a><td>{title}"),
        );
    }
    html.push_str("</table>");
    Ok(page(html_page("Problems", &html)))
}

/// One kind of problem.
pub(super) async fn problem(PathPart(slug): PathPart) -> Answer {
    let kind = Kind::from_slug(&slug).ok_or_else(|| Problem::new(Kind::NotFound).detail("there is no such problem"))?;
    let html = format!(
        "<h1>{}</h1><p><code>{}</code> &middot; status {}</p><p>{}</p><p><a href=\"/problems\">All problems</a></p>",
        escaped(kind.title()),
        kind.type_uri(),
        kind.status().as_u16(),
        marked(kind.about())
    );
    Ok(page(html_page(kind.title(), &html)))
}

fn write_operation(html: &mut String, method: &str, path: &str, operation: &Value) {
    put(
        html,
        format_args!(
            "<details><summary><span class=\"m\">{}</span><code>{}</code> {}</summary><p>{}</p>",
            method.to_uppercase(),
            escaped(path),
            escaped(text_of(&operation["summary"])),
            marked(text_of(&operation["description"]))
        ),
    );
    html.push_str("<table>");
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, place) = (text_of(&parameter["name"]), text_of(&parameter["in"]));
        let about = marked(text_of(&parameter["description"]));
        put(html, format_args!("<tr><td><code>{}</code><td>{place}<td>{about}", escaped(name)));
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        put(html, format_args!("<tr><td>body<td>JSON<td>{}", type_of(body)));
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let schemas = response["content"].as_object().into_iter().flatten().map(|(_, media)| type_of(&media["schema"]));
        let about = marked(text_of(&response["description"]));
        put(html, format_args!("<tr><td>{status}<td>{}<td>{about}", schemas.collect::<Vec<_>>().join(" ")));
    }
    html.push_str("</table></details>");
}

fn schema_table(schema: &Value) -> String {
    let mut html = format!("<p>{}</p><table>", marked(text_of(&schema["description"])));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let about = marked(text_of(&field["description"]));
        put(&mut html, format_args!("<tr><td><code>{}</code><td>{}<td>{about}", escaped(name), type_of(field)));
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("<code>{}</code>", escaped(text_of(word)))).collect();
        put(&mut html, format_args!("<tr><td>one of<td>{}", words.join(", ")));
    }
    html.push_str("</table>");
    html
}

/// A schema in a word: a link to a named one, or its JSON type.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#{name}\"><code>{name}</code></a>");
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(type_of).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", type_of(&schema["items"])),
        Value::String(name) => escaped(name),
        Value::Array(names) => names.iter().map(text_of).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text with `code` between backticks.
fn marked(text: &str) -> String {
    let parts = escaped(text);
    let parts = parts.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = html.write_fmt(text);
}

fn html_page(title: &str, body: &str) -> String {
    let head = format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title>", escaped(title));
    let view = "<meta name=\"viewport\" content=\"width=device-width\">";
    format!("{head}{view}<style>{STYLE}</style>{body}</html>")
}

fn page(html: impl Into<Body>) -> Response {
    let mut response = answer("text/html; charset=utf-8", html);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn answer(media_type: &'static str, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn fault(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "the API document could not be written");
    Problem::new(Kind::Internal)
}
